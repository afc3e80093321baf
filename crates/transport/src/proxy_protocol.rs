//! The PROXY protocol: a load balancer says whose connection it passes on, before anything else
//! (haproxy.org, `proxy-protocol.txt`, versions 1 and 2).
//!
//! For servers that hand connections to transports: those are to have the address of the client.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What begins a header of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest header of version 1, with its end of line.
const LONGEST_LINE: usize = 107;

/// The most that may follow the fixed part of a header of version 2, in bytes. What load balancers add to addresses is
/// far less.
const LONGEST_BODY: usize = 4096;

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The connection broke off, or ended.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What comes is something else.
    #[error("there is none")]
    Missing,
    /// It is none that makes sense.
    #[error("{0}")]
    Malformed(&'static str),
}

/// Reads a header and nothing after it. `None` where it does not say whose connection it is, as for a load balancer's
/// own checks. An IPv4 address within an IPv6 one is told as that.
///
/// # Errors
///
/// There is no header, or none that makes sense. The connection is of no use then.
///
/// # Cancel safety
///
/// Not safe: what was read is lost.
pub async fn read<S>(stream: &mut S) -> Result<Option<SocketAddr>, HeaderError>
where
    S: AsyncRead + Unpin + Send,
{
    // A header of either version is longer than this.
    let mut begun = [0; SIGNATURE.len()];
    stream.read_exact(&mut begun).await?;
    if begun == *SIGNATURE {
        read_binary(stream).await
    } else if begun.starts_with(b"PROXY ") {
        read_line(stream, &begun).await
    } else {
        Err(HeaderError::Missing)
    }
    .map(|peer| peer.map(|peer| SocketAddr::new(peer.ip().to_canonical(), peer.port())))
}

async fn read_line<S>(stream: &mut S, begun: &[u8]) -> Result<Option<SocketAddr>, HeaderError>
where
    S: AsyncRead + Unpin + Send,
{
    let mut line = begun.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() == LONGEST_LINE {
            return Err(HeaderError::Malformed("its line is too long"));
        }
        line.push(stream.read_u8().await?);
    }
    let text = line.strip_suffix(b"\r\n").and_then(|line| std::str::from_utf8(line).ok());
    let mut words = text.ok_or(HeaderError::Malformed("it is no text"))?.split(' ').skip(1);
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        return Ok(None);
    }
    let rest: Vec<&str> = words.collect();
    let [source, destination, source_port, destination_port] = rest.as_slice() else {
        return Err(HeaderError::Malformed("it has not two addresses and two ports"));
    };
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    // No sign, no leading zero.
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| port.to_string() == text);
    match (address(source), address(destination), port(source_port), port(destination_port)) {
        (Some(source), Some(_), Some(port), Some(_)) => Ok(Some(SocketAddr::new(source, port))),
        _ => Err(HeaderError::Malformed("its addresses are none")),
    }
}

async fn read_binary<S>(stream: &mut S) -> Result<Option<SocketAddr>, HeaderError>
where
    S: AsyncRead + Unpin + Send,
{
    let (version_and_command, family) = (stream.read_u8().await?, stream.read_u8().await?);
    let length = usize::from(stream.read_u16().await?);
    let command = match version_and_command {
        0x20 => Command::Local,
        0x21 => Command::Proxy,
        _ => return Err(HeaderError::Malformed("its version or command is unknown")),
    };
    if length > LONGEST_BODY {
        return Err(HeaderError::Malformed("it is too long"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    if command == Command::Local {
        return Ok(None);
    }
    let short = HeaderError::Malformed("it is too short for its addresses");
    match family {
        // TCP over IPv4: two addresses, two ports.
        0x11 => {
            let (source, rest) = body.split_first_chunk::<4>().ok_or(short)?;
            let port = rest.get(4..8).and_then(|rest| rest.first_chunk::<2>());
            let port = port.ok_or(HeaderError::Malformed("it is too short for its addresses"))?;
            Ok(Some(SocketAddr::from((Ipv4Addr::from(*source), u16::from_be_bytes(*port)))))
        }
        // TCP over IPv6.
        0x21 => {
            let (source, rest) = body.split_first_chunk::<16>().ok_or(short)?;
            let port = rest.get(16..20).and_then(|rest| rest.first_chunk::<2>());
            let port = port.ok_or(HeaderError::Malformed("it is too short for its addresses"))?;
            Ok(Some(SocketAddr::from((Ipv6Addr::from(*source), u16::from_be_bytes(*port)))))
        }
        // Unspecified, or a Unix socket at the load balancer.
        0x00 | 0x31 => Ok(None),
        _ => Err(HeaderError::Malformed("its family or protocol is not one of a stream")),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    /// The load balancer speaks for itself.
    Local,
    Proxy,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn parse(bytes: &[u8]) -> (Result<Option<SocketAddr>, HeaderError>, usize) {
        let mut rest = bytes;
        let result = read(&mut rest).await;
        (result, rest.len())
    }

    fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("short").to_be_bytes();
        [SIGNATURE.as_slice(), &[command, family], &length, body].concat()
    }

    fn v4() -> Vec<u8> {
        [[192, 0, 2, 1].as_slice(), &[10, 0, 0, 1], &[0x30, 0x39], &[0, 80]].concat()
    }

    #[tokio::test]
    async fn headers_say_whose_connection_it_is_and_leave_the_rest() {
        let v6 = [Ipv6Addr::LOCALHOST.octets().as_slice(), &[1; 16], &[0, 7], &[0, 80]].concat();
        let mapped = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().octets();
        let mapped = [mapped.as_slice(), &[1; 16], &[0, 7], &[0, 80]];
        for (header, peer) in [
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 12345 80\r\n".to_vec(), Some("192.0.2.1:12345")),
            (b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n".to_vec(), Some("[2001:db8::1]:1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN anything at all\r\n".to_vec(), None),
            (binary(0x21, 0x11, &v4()), Some("192.0.2.1:12345")),
            (binary(0x21, 0x11, &[v4(), vec![4; 300]].concat()), Some("192.0.2.1:12345")),
            (binary(0x21, 0x21, &v6), Some("[::1]:7")),
            (binary(0x21, 0x21, &mapped.concat()), Some("192.0.2.1:7")),
            (binary(0x20, 0x11, &v4()), None),
            (binary(0x20, 0, &[]), None),
            (binary(0x21, 0, &[]), None),
            (binary(0x21, 0x31, &[0; 216]), None),
        ] {
            let (found, rest) = parse(&[header.as_slice(), b"GET /"].concat()).await;
            let found = found.expect("a header").map(|peer| peer.to_string());
            assert_eq!((found.as_deref(), rest), (peer, 5), "{header:?}");
            // Nothing less will do.
            for length in 0..header.len() {
                assert!(parse(&header[..length]).await.0.is_err(), "{length} bytes of {header:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        for wrong in [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 12345\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 12345 80 x\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 012345 80\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 +1 80\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 65536 80\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 1 80\r\n".to_vec(),
            b"PROXY TCP6 192.0.2.1 10.0.0.1 1 80\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.1 10.0.0.1 1 80\r\n".to_vec(),
            b"PROXY TCP4  192.0.2.1 10.0.0.1 1 80\r\n".to_vec(),
            b"PROXY \xff\xff\xff\xff 192.0.2.1 10.0.0.1 1 80\r\n".to_vec(),
            [b"PROXY TCP4 ".as_slice(), &[b'1'; 200], b"\r\n"].concat(),
            binary(0x22, 0x11, &v4()),
            binary(0x11, 0x11, &v4()),
            binary(0x21, 0x12, &v4()),
            binary(0x21, 0x11, &v4()[..11]),
            binary(0x21, 0x21, &v4()),
            binary(0x21, 0x41, &v4()),
            binary(0x21, 0x11, &[0; 5000]),
        ] {
            assert!(parse(&wrong).await.0.is_err(), "{}", String::from_utf8_lossy(&wrong));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(kind in 0..3_usize, mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let begin: &[u8] = [b"".as_slice(), b"PROXY TCP4 ", SIGNATURE][kind];
            bytes.splice(0..0, begin.iter().copied());
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let (_, rest) = runtime.block_on(parse(&bytes));
            prop_assert!(rest <= bytes.len());
        }
    }
}
