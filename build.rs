fn main() {
    napi_build::setup();
    // Node unmaps an addon when the last worker that loaded it ends. The I/O thread runs this
    // code for as long as the process lives, so the library must stay mapped.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
