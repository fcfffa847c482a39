//! Namespaces of a child's own, where the system allows them.

use std::io;

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives the calling process (of one thread) a view of the file systems of its own, with a small one as the shared folder.
pub fn small_shared_folder(bytes: u64) -> io::Result<()> {
    let options = std::ffi::CString::new(format!("size={bytes},mode=1777")).unwrap();
    // SAFETY: system calls on strings that outlive them; they change only this process's view.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS))?;
        let quiet = libc::MS_REC | libc::MS_PRIVATE;
        check(libc::mount(std::ptr::null(), c"/".as_ptr(), std::ptr::null(), quiet, std::ptr::null()))?;
        check(libc::mount(
            c"tmpfs".as_ptr(),
            c"/dev/shm".as_ptr(),
            c"tmpfs".as_ptr(),
            0,
            options.as_ptr().cast(),
        ))
    }
}

/// The next child of the calling process is number 1 of a process namespace of its own.
pub fn process_namespace_for_children() -> io::Result<()> {
    // SAFETY: takes an integer.
    check(unsafe { libc::unshare(libc::CLONE_NEWPID) })
}
