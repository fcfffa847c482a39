//! Addresses of the internet.
//!
//! `IpAddr` and `SocketAddr` are enums of Rust, whose layout is the compiler's: they have no place in a pool. Keep an address and a port,
//! or a plain enum of your own.

use crate::cx::Cx;
use crate::plain::plain;
use crate::relocatable::{ByValue, Emplace, Kind, Plain, Relocatable};
use crate::schema::{Schema, Shape};
use aquifer_pool::Result;
use std::net::{Ipv4Addr, Ipv6Addr};

plain!([] Ipv4Addr, "Ipv4Addr", Shape::Bytes);
plain!([] Ipv6Addr, "Ipv6Addr", Shape::Bytes);

// Octets in network order and nothing else: a compiler that has them otherwise does not compile this.
const _: () = {
    assert!(size_of::<Ipv4Addr>() == 4 && size_of::<Ipv6Addr>() == 16);
    // SAFETY: of the same size; the compiler refuses to read padding here.
    let (four, six) = unsafe {
        (
            std::mem::transmute::<Ipv4Addr, [u8; 4]>(Ipv4Addr::new(1, 2, 3, 4)),
            std::mem::transmute::<Ipv6Addr, [u8; 16]>(Ipv6Addr::new(0x0102, 0, 0, 0, 0, 0, 0, 0x0304)),
        )
    };
    assert!(four[0] == 1 && four[1] == 2 && four[2] == 3 && four[3] == 4);
    assert!(six[0] == 1 && six[1] == 2 && six[14] == 3 && six[15] == 4);
};
