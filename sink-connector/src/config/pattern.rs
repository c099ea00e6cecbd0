//! The pattern of `topics_regex`, matched as librdkafka matches it: what the sink expects to read must be what it gets.
//!
//! librdkafka takes the C library's extended regular expressions (rdregex.c), whose dialect no crate has; so this asks
//! the C library as well.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::ptr;

/// Why a text is no pattern, in the words of the C library.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("is not an extended regular expression (POSIX): {0}")]
pub struct InvalidPattern(String);

/// A pattern that the C library accepts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    text: CString,
}

impl Pattern {
    /// The pattern that `text` is.
    ///
    /// # Errors
    /// It is none.
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        let text = CString::new(text).map_err(|_| InvalidPattern("it has a NUL character".to_owned()))?;
        Compiled::new(&text)?;
        Ok(Self { text })
    }

    /// Those of `names` that match, in their order.
    pub fn select<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let compiled = Compiled::new(&self.text).expect("the same text was accepted before");
        names.into_iter().filter(|name| compiled.matches(name)).collect()
    }

    /// Whether a name matches.
    pub fn matches(&self, name: &str) -> bool {
        !self.select([name]).is_empty()
    }
}

/// What the C library made of a pattern.
struct Compiled(libc::regex_t);

impl Compiled {
    fn new(pattern: &CStr) -> Result<Self, InvalidPattern> {
        let mut compiled = MaybeUninit::<libc::regex_t>::zeroed();
        let flags = libc::REG_EXTENDED | libc::REG_NOSUB;
        // SAFETY: both pointers are good during the call. Only what regcomp reports as compiled is used and freed.
        unsafe {
            let error = libc::regcomp(compiled.as_mut_ptr(), pattern.as_ptr(), flags);
            if error == 0 {
                return Ok(Self(compiled.assume_init()));
            }
            let mut message = [0 as std::ffi::c_char; 128];
            libc::regerror(error, compiled.as_ptr(), message.as_mut_ptr(), message.len());
            Err(InvalidPattern(CStr::from_ptr(message.as_ptr()).to_string_lossy().into_owned()))
        }
    }

    fn matches(&self, name: &str) -> bool {
        let Ok(name) = CString::new(name) else { return false };
        // SAFETY: the pattern is compiled, the name ends with a NUL, and no groups are asked for.
        unsafe { libc::regexec(ptr::from_ref(&self.0), name.as_ptr(), 0, ptr::null_mut(), 0) == 0 }
    }
}

impl Drop for Compiled {
    fn drop(&mut self) {
        // SAFETY: it was compiled, and is freed once.
        unsafe { libc::regfree(ptr::from_mut(&mut self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_extended_regular_expressions() {
        let orders = Pattern::new("^orders\\.(eu|us)[0-9]*$").unwrap();
        let names = ["orders.eu", "orders.us2", "orders.asia", "xorders.eu", "ordersxeu", "orders.eu\0"];
        assert_eq!(orders.select(names), ["orders.eu", "orders.us2"]);
        assert!(Pattern::new("^a").unwrap().matches("abc"));
    }

    #[test]
    fn what_is_no_pattern_is_explained() {
        for text in ["^(a", "^[a", "^a\0"] {
            assert!(!Pattern::new(text).unwrap_err().0.is_empty(), "{text:?}");
        }
    }
}
