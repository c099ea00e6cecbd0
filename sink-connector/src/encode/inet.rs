//! `inet` and `cidr`: family, length of the prefix, whether it is a cidr, the address (`network_recv`).

use super::{EncodeError, Value};
use std::net::IpAddr;

/// What PostgreSQL calls the address families (`PGSQL_AF_INET`, `PGSQL_AF_INET6`), on every system.
const IPV4: u8 = 2;
const IPV6: u8 = 3;

/// Encodes an address in full, with the length of its network's prefix behind a slash or without; a cidr has no bits
/// beyond its prefix.
pub(super) fn encode(value: Value<'_>, cidr: bool, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let Value::Str(text) = value else { return Err(EncodeError::WrongType) };
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| EncodeError::WrongType)?;
    match address {
        IpAddr::V4(address) => put(IPV4, &address.octets(), prefix, cidr, out),
        IpAddr::V6(address) => put(IPV6, &address.octets(), prefix, cidr, out),
    }
}

fn put(
    family: u8,
    address: &[u8],
    prefix: Option<&str>,
    cidr: bool,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let bits = address.len() * 8;
    let prefix = prefix.map_or(Ok(bits), |text| length(text).ok_or(EncodeError::WrongType))?;
    if prefix > bits || (cidr && !ends_after(address, prefix)) {
        return Err(EncodeError::WrongType);
    }
    let prefix = u8::try_from(prefix).map_err(|_| EncodeError::WrongType)?;
    let size = u8::try_from(address.len()).map_err(|_| EncodeError::WrongType)?;
    out.extend_from_slice(&[family, prefix, u8::from(cidr), size]);
    out.extend_from_slice(address);
    Ok(())
}

/// The length of a prefix: up to three digits without zeros in front.
fn length(text: &str) -> Option<usize> {
    let digits = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && (text == "0" || !text.starts_with('0')) { text.parse().ok() } else { None }
}

/// Whether all bits after the first `prefix` are zero.
fn ends_after(address: &[u8], prefix: usize) -> bool {
    address.iter().enumerate().all(|(index, byte)| {
        let kept = prefix.saturating_sub(index * 8).min(8);
        kept == 8 || byte << kept == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str, cidr: bool) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        encode(Value::Str(text), cidr, &mut out).ok().map(|()| out)
    }

    #[test]
    fn addresses_carry_their_prefix() {
        assert_eq!(address("10.1.2.3", false), Some(vec![2, 32, 0, 4, 10, 1, 2, 3]));
        assert_eq!(address("10.1.2.3/8", false), Some(vec![2, 8, 0, 4, 10, 1, 2, 3]));
        assert_eq!(address("10.0.0.0/8", true), Some(vec![2, 8, 1, 4, 10, 0, 0, 0]));
        assert_eq!(address("0.0.0.0/0", true), Some(vec![2, 0, 1, 4, 0, 0, 0, 0]));
        let mut v6 = vec![3, 64, 1, 16];
        v6.extend([0x20, 1, 0xd, 0xb8].into_iter().chain([0; 12]));
        assert_eq!(address("2001:db8::/64", true), Some(v6));
        for text in [
            "",
            "10",
            "10.1",
            "10.1.2.3/33",
            "10.1.2.3/08",
            "10.1.2.3/",
            "10.1.2.3/+8",
            "::/129",
            "::1%lo",
            " ::1",
        ] {
            assert_eq!(address(text, false), None, "{text}");
        }
        assert_eq!(address("10.0.0.1/31", true), None);
        assert_eq!(address("2001:db8::1/64", true), None);
    }
}
