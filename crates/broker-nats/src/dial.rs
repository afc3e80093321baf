//! A connection to a server, from the first byte to where messages begin.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tourbillon_tls::TlsClient;
use tourbillon_tls::rustls::pki_types::ServerName;

use crate::address::{NatsServer, Shows};
use crate::config::NatsTls;
use crate::wire::{Connect, Info, NotNats, Said, Say, read};

/// What bytes come and go by.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that is taken.
pub(crate) struct Dialled {
    pub(crate) stream: Box<dyn Stream>,
    /// What has been read and is not looked at yet.
    pub(crate) buffer: BytesMut,
    pub(crate) info: Info,
}

/// Why there is no connection, or no more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("{0}")]
    NotNats(#[from] NotNats),
    #[error("the server refuses: {0}")]
    Refused(String),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("it took longer than {0:?}")]
    Slow(Duration),
}

/// How to dial.
pub(crate) struct Dial<'a> {
    pub(crate) server: &'a NatsServer,
    pub(crate) tls: Option<&'a NatsTls>,
    /// Whether own messages come back.
    pub(crate) echo: bool,
    pub(crate) limit: Duration,
}

impl Dial<'_> {
    /// Connects, and asks to be let in.
    pub(crate) async fn dial(&self) -> Result<Dialled, Broken> {
        timeout(self.limit, self.connect()).await.unwrap_or(Err(Broken::Slow(self.limit)))
    }

    async fn connect(&self) -> Result<Dialled, Broken> {
        let mut stream = TcpStream::connect((self.server.host.as_str(), self.server.port)).await?;
        let _ = stream.set_nodelay(true);
        let mut buffer = BytesMut::with_capacity(4096);
        let info = match next(&mut stream, &mut buffer).await? {
            Said::Info(info) => *info,
            Said::Error(text) => return Err(Broken::Refused(text)),
            _ => return Err(NotNats::Unknown.into()),
        };
        let secure = self.tls.is_some() || self.server.tls || info.tls_required;
        let mut stream: Box<dyn Stream> = if secure {
            // Whatever came before would not be from who has the certificate.
            buffer.clear();
            Box::new(self.secure(stream).await?)
        } else {
            Box::new(stream)
        };
        let mut out = BytesMut::new();
        out.connect(&self.introduction(secure));
        out.ping();
        stream.write_all(&out).await?;
        stream.flush().await?;
        loop {
            match next(&mut stream, &mut buffer).await? {
                Said::Pong => return Ok(Dialled { stream, buffer, info }),
                Said::Error(text) => return Err(Broken::Refused(text)),
                // What it tells of itself again, to those whom it knows now.
                _ => {}
            }
        }
    }

    async fn secure(&self, stream: TcpStream) -> Result<impl Stream + use<>, Broken> {
        let wrong = |error: &dyn std::fmt::Display| Broken::Tls(error.to_string());
        let config = match self.tls {
            Some(tls) => tls.config.clone(),
            None => TlsClient::default().config().map_err(|error| wrong(&error))?.into(),
        };
        let name = self.tls.map(|tls| tls.server_name.as_str()).filter(|name| !name.is_empty());
        let name = ServerName::try_from(name.unwrap_or(&self.server.host).to_owned());
        let name = name.map_err(|error| wrong(&error))?;
        TlsConnector::from(config).connect(name, stream).await.map_err(|error| wrong(&error))
    }

    fn introduction(&self, secure: bool) -> Connect<'_> {
        let (user, pass, auth_token) = match &self.server.shows {
            Shows::Nothing => (None, None, None),
            Shows::Token(token) => (None, None, Some(token.as_str())),
            Shows::Password { user, password } => (Some(user.as_str()), Some(password.as_str()), None),
        };
        Connect {
            verbose: false,
            pedantic: false,
            tls_required: secure,
            name: "tourbillon",
            lang: "rust",
            version: env!("CARGO_PKG_VERSION"),
            protocol: 1,
            echo: self.echo,
            headers: true,
            user,
            pass,
            auth_token,
        }
    }
}

/// The next thing that is said.
async fn next(stream: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> Result<Said, Broken> {
    loop {
        if let Some(said) = read(buffer)? {
            return Ok(said);
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(Broken::Closed);
        }
    }
}
