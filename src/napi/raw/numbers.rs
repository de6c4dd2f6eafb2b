//! The numbers of a batch, which come in one `Float64Array`.

use std::ptr;

use napi::{Env, JsValue, Unknown, sys};

use crate::napi::raw::values::{JsResult, check, error};

/// The first `count` numbers of a `Float64Array`.
pub fn numbers<'e>(env: &'e Env, array: &Unknown<'e>, count: usize) -> JsResult<'e, Vec<f64>> {
    let (data, length) = float64_array(env, array)?;
    if count > length {
        return Err(error(env, "there are fewer numbers than calls"));
    }
    let mut numbers = Vec::with_capacity(count);
    // SAFETY: `data` points to `length` numbers as long as no JS runs; they are copied before.
    unsafe {
        ptr::copy_nonoverlapping(data, numbers.as_mut_ptr(), count);
        numbers.set_len(count);
    }
    Ok(numbers)
}

/// Writes numbers to the beginning of a `Float64Array`.
pub fn write_numbers<'e>(env: &'e Env, array: &Unknown<'e>, numbers: &[f64]) -> JsResult<'e, ()> {
    let (data, length) = float64_array(env, array)?;
    if numbers.len() > length {
        return Err(error(env, "there are more numbers than there is room"));
    }
    // SAFETY: as in `numbers`.
    unsafe { ptr::copy_nonoverlapping(numbers.as_ptr(), data, numbers.len()) };
    Ok(())
}

/// Returns where the numbers of a `Float64Array` are, and how many. A detached array is an error.
fn float64_array<'e>(env: &'e Env, array: &Unknown<'e>) -> JsResult<'e, (*mut f64, usize)> {
    let mut kind = 0;
    let mut length = 0;
    let mut data = ptr::null_mut();
    // SAFETY: out-pointers to locals; anything but a typed array is an error status.
    let status = unsafe {
        sys::napi_get_typedarray_info(
            env.raw(),
            array.raw(),
            &mut kind,
            &mut length,
            &mut data,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    check(env, status)?;
    if kind != sys::TypedarrayType::float64_array || data.is_null() {
        return Err(error(env, "expected a Float64Array"));
    }
    Ok((data.cast(), length))
}
