//! Which columns rows of different keys can conflict in, by the indexes of their table.

use crate::batch::example;
use crate::table::catalog::constraints::Index;

#[test]
fn rows_of_different_keys_cannot_conflict_in_an_index_that_compares_the_key_as_the_keys_own_does() {
    let index = |oid: u32, columns: &[&str], compares: &[&str]| Index {
        oid,
        exclusive: true,
        refuses: columns.is_empty(),
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        compares: compares.iter().map(|column| (*column).to_owned()).collect(),
    };
    let exclusive = |key: Index, other: Index| example::plan_with_indexes(vec![key, other]).exclusive;
    let key = || index(2, &["id"], &["1,100,id"]);
    assert!(exclusive(key(), index(3, &["id", "v"], &["1,0,v", "1,100,id"])).is_empty());
    for (other, why) in [
        (index(3, &["v"], &["1,0,v"]), "it lacks the key"),
        (index(3, &["id", "v"], &["1,0,v"]), "the key is only included"),
        (index(3, &["id", "v"], &["1,200,id", "1,0,v"]), "another collation"),
        (index(3, &["id", "v"], &[]), "an exclusion constraint"),
        (index(3, &[], &[]), "an expression"),
    ] {
        assert_eq!(exclusive(key(), other), [1], "{why}");
    }
    let unknown = index(4, &["id"], &["1,100,id"]);
    assert_eq!(exclusive(unknown, index(3, &["id", "v"], &["1,0,v", "1,100,id"])), [1]);
}
