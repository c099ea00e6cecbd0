//! A full disk is an error of `check`: nothing changes by itself until somebody frees space.

use std::fs;

use serde_json::json;
use tests::small_disk::SmallDisk;
use tests::{Output, Record, Services, World, names};

use crate::check::{assert_says, check};

const DDL: &str = "CREATE TABLE t (id int PRIMARY KEY, name text)";

fn world() -> World<'static> {
    let world = World::new("check_disk").table(DDL).upsert("id");
    world.produce((0..100).map(|id| Record::json(&json!({"id": id, "name": "x".repeat(1000)}))));
    world
}

#[test]
fn a_full_disk_is_an_error_until_there_is_space() {
    let place = Services::shared().postgres.dir().join(names::unique("check_disk"));
    let world = world();
    let Some(disk) = SmallDisk::mount(&place) else {
        eprintln!("mount is refused here: a trigger raises 53100 instead");
        return full_by_trigger(&world);
    };
    let space = names::unique("check_disk").replace('-', "_");
    world.execute(&format!("CREATE TABLESPACE {space} LOCATION '{}'", place.display()));
    world.execute(&format!("ALTER TABLE t SET TABLESPACE {space}"));
    let filler = disk.fill(usize::MAX / 2);
    let output = check(&world.config, 1);
    assert_full(&world, &output);
    assert_eq!(world.rows(), 0);
    fs::remove_file(filler).unwrap();
    check(&world.config, 0);
    world.execute("DROP TABLE t");
    world.execute(&format!("DROP TABLESPACE {space}"));
}

#[track_caller]
fn assert_full(world: &World<'_>, output: &Output) {
    let subject = format!("sample of {}", world.topic());
    assert_says(output, "error", &subject, &["(53100)", "free space on the server's disk"]);
}

fn full_by_trigger(world: &World<'_>) {
    world.execute(
        "CREATE FUNCTION full() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$; \
         CREATE TRIGGER full BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION full()",
    );
    assert_full(world, &check(&world.config, 1));
}
