//! What the calls into librdkafka's C API share: owners of its objects, and copies of its texts.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char};

/// An object of librdkafka and the function that destroys it.
pub(super) struct Owned<T>(pub *mut T, pub unsafe extern "C" fn(*mut T));

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer comes from the constructor that matches this destructor, and is used nowhere else.
        unsafe { (self.1)(self.0) }
    }
}

/// Copies a C string that librdkafka owns.
///
/// # Safety
/// `pointer` must be null or a NUL-terminated string that is valid during the call.
pub(super) unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
