//! Sockets that are bound and not yet served.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream};

use crate::config::{ListenerConfig, Place};

/// How many connections may wait to be taken.
const BACKLOG: u32 = 1024;

/// Sockets that are bound and not yet served. Tests bring their own.
#[derive(Debug)]
pub struct Listeners {
    pub(crate) external: Socket,
    pub(crate) internal: Option<Socket>,
    pub(crate) uni_grpc: Option<TcpListener>,
    pub(crate) grpc_api: Option<TcpListener>,
    pub(crate) http3: Option<UdpSocket>,
}

/// A socket that is listened to.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// For its end.
        _made: Option<Made>,
    },
}

/// A Unix socket that we made, and remove.
#[derive(Debug)]
pub(crate) struct Made(PathBuf);

impl Drop for Made {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "a Unix socket is not removed");
        }
    }
}

impl Listeners {
    /// Binds what the settings say.
    ///
    /// # Errors
    ///
    /// The place that cannot be listened at, named in the message.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was bound.
    pub async fn bind(config: &ListenerConfig) -> io::Result<Self> {
        let mut inherited = Inherited::new();
        let external = bind(&config.external, &mut inherited).await?;
        let internal = match &config.internal {
            Some(place) => Some(bind(place, &mut inherited).await?),
            None => None,
        };
        Ok(Self { external, internal, uni_grpc: None, grpc_api: None, http3: None })
    }

    /// Binds the port of the unidirectional GRPC stream, too. Without it the stream is not there.
    ///
    /// # Errors
    ///
    /// The address that cannot be bound, named in the message.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was bound.
    #[expect(clippy::unused_async, reason = "it is asked like `bind`")]
    pub async fn with_uni_grpc(self, address: SocketAddr) -> io::Result<Self> {
        let bound = bind_tcp(address).map_err(|error| at(&Place::Tcp(address), &error))?;
        Ok(Self { uni_grpc: Some(bound), ..self })
    }

    /// Binds the port of the API over GRPC, too. Without it that API is not there.
    ///
    /// # Errors
    ///
    /// The address that cannot be bound, named in the message.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was bound.
    #[expect(clippy::unused_async, reason = "it is asked like `bind`")]
    pub async fn with_grpc_api(self, address: SocketAddr) -> io::Result<Self> {
        let bound = bind_tcp(address).map_err(|error| at(&Place::Tcp(address), &error))?;
        Ok(Self { grpc_api: Some(bound), ..self })
    }

    /// Binds the UDP port for HTTP/3, too, which has the number of the TCP port for clients.
    ///
    /// # Errors
    ///
    /// The address that cannot be bound, named in the message, or that clients do not come by TCP.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was bound.
    #[expect(clippy::unused_async, reason = "it is asked like `bind`")]
    pub async fn with_http3(self) -> io::Result<Self> {
        let address = self.external_address()?;
        let bound = UdpSocket::bind(address).map_err(|error| {
            io::Error::new(error.kind(), format!("listening on {address} for HTTP/3: {error}"))
        })?;
        Ok(Self { http3: Some(bound), ..self })
    }

    /// Where the unidirectional GRPC stream is, if it is.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn uni_grpc_address(&self) -> io::Result<Option<SocketAddr>> {
        self.uni_grpc.as_ref().map(TcpListener::local_addr).transpose()
    }

    /// Where the API over GRPC is, if it is.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn grpc_api_address(&self) -> io::Result<Option<SocketAddr>> {
        self.grpc_api.as_ref().map(TcpListener::local_addr).transpose()
    }

    /// The TCP address that clients connect to.
    ///
    /// # Errors
    ///
    /// The operating system's, or that it is no TCP address.
    pub fn external_address(&self) -> io::Result<SocketAddr> {
        self.external.address()
    }

    /// The TCP address of API and health, if elsewhere.
    ///
    /// # Errors
    ///
    /// The operating system's, or that it is no TCP address.
    pub fn internal_address(&self) -> io::Result<Option<SocketAddr>> {
        self.internal.as_ref().map(Socket::address).transpose()
    }

    /// Where clients connect to, and where API and health are, for people to read.
    #[must_use]
    pub fn names(&self) -> [String; 2] {
        let external = self.external.name();
        let internal = self.internal.as_ref().map_or_else(|| external.clone(), Socket::name);
        [external, internal]
    }
}

impl Socket {
    /// Binds a TCP port.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        bind_tcp(address).map(Self::Tcp)
    }

    fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::Unix { .. } => {
                Err(io::Error::new(ErrorKind::Unsupported, "a Unix socket has no address and port"))
            }
        }
    }

    fn name(&self) -> String {
        let path = |listener: &UnixListener| {
            listener.local_addr().ok().and_then(|address| address.as_pathname().map(Path::to_path_buf))
        };
        match self {
            Self::Tcp(listener) => listener.local_addr().map(|address| address.to_string()),
            Self::Unix { listener, .. } => {
                Ok(format!("unix:{}", path(listener).unwrap_or_default().display()))
            }
        }
        .unwrap_or_default()
    }
}

async fn bind(place: &Place, inherited: &mut Inherited) -> io::Result<Socket> {
    match place {
        Place::Tcp(address) => Socket::bind(*address),
        Place::Unix(path) => bind_unix(path).await,
        Place::Inherited(name) => inherited.take(name.as_deref()),
    }
    .map_err(|error| at(place, &error))
}

/// Says where an error happened.
fn at(place: &Place, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("listening on {place}: {error}"))
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let bind = |address: SocketAddr| {
        let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
        // What a server that has just ended has left does not keep the next one waiting.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    match bind(address) {
        Err(error) if is_without_ipv6(address, &error) => {
            bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        bound => bound,
    }
}

/// A system without IPv6 has no address for both versions.
fn is_without_ipv6(address: SocketAddr, error: &io::Error) -> bool {
    address.is_ipv6()
        && address.ip().is_unspecified()
        && !matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied)
}

async fn bind_unix(path: &Path) -> io::Result<Socket> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|about| about.file_type().is_socket());
    // What a server that died has left is in the way; what is served is not ours.
    if is_socket
        && UnixStream::connect(path).await.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    Ok(Socket::Unix { listener, _made: Some(Made(path.to_path_buf())) })
}

/// The sockets that the service manager hands over (`sd_listen_fds`).
struct Inherited {
    sockets: ListenFd,
    names: Vec<String>,
}

impl Inherited {
    fn new() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names = names.split(':').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Self { sockets: ListenFd::from_env(), names }
    }

    fn take(&mut self, name: Option<&str>) -> io::Result<Socket> {
        let missing = |what: String| io::Error::new(ErrorKind::NotFound, what);
        let at = match name {
            None => 0,
            Some(name) => {
                let found = self.names.iter().position(|given| given == name);
                found.ok_or_else(|| missing(format!("the service manager hands over no socket {name:?}")))?
            }
        };
        if let Ok(taken) = self.sockets.take_tcp_listener(at) {
            let listener =
                taken.ok_or_else(|| missing("the service manager hands over no socket".to_owned()))?;
            listener.set_nonblocking(true)?;
            return TcpListener::from_std(listener).map(Socket::Tcp);
        }
        let taken = self.sockets.take_unix_listener(at)?;
        let listener = taken.ok_or_else(|| missing("the service manager hands over no socket".to_owned()))?;
        listener.set_nonblocking(true)?;
        // Who made it removes it.
        Ok(Socket::Unix { listener: UnixListener::from_std(listener)?, _made: None })
    }
}
