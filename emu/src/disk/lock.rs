//! Locks on image files, by which programs keep out of each other's way. They last as long as the file is open.
//!
//! On Linux they are those of QEMU (its `block/file-posix.c`), so that neither writes what the other uses: a lock on the
//! byte of each thing a program does with the image, and on that of each thing it suffers no other to do.

use std::fs::File;
use std::io;

/// What an image is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// To read it: others may, and nobody may write it.
    Read,
    /// To write it: nobody else may have it open.
    Write,
}

/// Takes the lock; whether nobody else holds one against it. Where files cannot be locked there is none.
///
/// # Errors
/// When the host says something else.
#[cfg(target_os = "linux")]
pub(super) fn take(file: &File, hold: Hold) -> io::Result<bool> {
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    const DOES: libc::off_t = 100;
    const SUFFERS_NOT: libc::off_t = 200;
    /// BLK_PERM_CONSISTENT_READ, BLK_PERM_WRITE, BLK_PERM_RESIZE.
    const ALL: [libc::off_t; 3] = [0, 1, 3];
    let (does, suffers_not) = match hold {
        Hold::Read => (&ALL[..1], &ALL[1..]),
        Hold::Write => (&ALL[..], &ALL[..]),
    };
    let byte = |kind: libc::c_int, at| libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: at,
        l_len: 1,
        l_pid: 0,
    };
    let at = |base, things: &[libc::off_t]| things.iter().map(move |thing| base + thing).collect::<Vec<_>>();
    for byte in
        [at(DOES, does), at(SUFFERS_NOT, suffers_not)].concat().into_iter().map(|at| byte(libc::F_RDLCK, at))
    {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&byte)) {
            Ok(_) => {}
            Err(nix::Error::EAGAIN | nix::Error::EACCES) => return Ok(false),
            Err(nix::Error::EINVAL | nix::Error::ENOLCK | nix::Error::EOPNOTSUPP) => return Ok(true),
            Err(other) => return Err(other.into()),
        }
    }
    for at in [at(SUFFERS_NOT, does), at(DOES, suffers_not)].concat() {
        let mut found = byte(libc::F_WRLCK, at);
        fcntl(file, FcntlArg::F_OFD_GETLK(&mut found))?;
        if found.l_type != libc::F_UNLCK as libc::c_short {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes the lock; whether nobody else holds one against it. Where files cannot be locked there is none.
///
/// # Errors
/// When the host says something else.
#[cfg(not(target_os = "linux"))]
pub(super) fn take(file: &File, hold: Hold) -> io::Result<bool> {
    use std::fs::TryLockError;

    let taken = match hold {
        Hold::Read => file.try_lock_shared(),
        Hold::Write => file.try_lock(),
    };
    match taken {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => Ok(true),
        Err(TryLockError::Error(e)) => Err(e),
    }
}
