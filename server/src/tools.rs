//! Commands about tokens and permissions: what the server would say, without a server.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tourbillon::auth::{ConnectToken, Secret, Signer, SubscribeToken, TokenError, Verifier};
use tourbillon::types::Payload;
use tourbillon_access::{Action, ExplainQuery, Live, TokenReport, TokensConfig, explain};

use crate::cli::load_file;
use crate::config::{Options, Settings};
use crate::lines;

/// `gentoken` (CLI-08).
#[derive(Clone, Debug, Args)]
pub struct GenToken {
    /// The configuration file.
    #[arg(short, long, default_value = "config.json")]
    pub config: PathBuf,
    /// The user; without one, the token is for an anonymous user.
    #[arg(short, long, default_value = "")]
    pub user: String,
    /// How long the token is good, in seconds; -1 for ever.
    #[arg(short, long, default_value_t = 3_600 * 24 * 7, allow_negative_numbers = true)]
    pub ttl: i64,
    /// Print the token and nothing else.
    #[arg(short, long)]
    pub quiet: bool,
}

/// `gensubtoken` (CLI-09).
#[derive(Clone, Debug, Args)]
pub struct GenSubToken {
    /// What both kinds of tokens have.
    #[command(flatten)]
    pub token: GenToken,
    /// The channel.
    #[arg(short = 's', long)]
    pub channel: String,
}

/// `checktoken` and `checksubtoken` (CLI-10).
#[derive(Clone, Debug, Args)]
pub struct CheckToken {
    /// The configuration file.
    #[arg(short, long, default_value = "config.json")]
    pub config: PathBuf,
    /// The token.
    pub token: String,
}

/// `explain`: why somebody may do something, or may not.
#[derive(Clone, Debug, Args)]
pub struct Explain {
    /// The configuration file.
    #[arg(short, long, default_value = "config.json")]
    pub config: PathBuf,
    /// The channel.
    #[arg(short = 's', long)]
    pub channel: String,
    /// The user; without one, the anonymous one.
    #[arg(short, long, default_value = "")]
    pub user: String,
    /// The subscription token that comes with the request.
    #[arg(long, default_value = "")]
    pub token: String,
    /// The connection token that the client connected with: what it may do, its meta object and labels.
    #[arg(long, default_value = "")]
    pub connection_token: String,
    /// What the client wants.
    #[arg(long, value_parser = action(), default_value = Action::Subscribe.name())]
    pub action: Action,
    /// The client is subscribed to the channel.
    #[arg(long)]
    pub subscribed: bool,
    /// What it publishes.
    #[arg(long, default_value = "{}")]
    pub data: String,
}

impl GenToken {
    /// The token, or a text around it.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration, or that it has no secret.
    pub fn run(&self, unix_seconds: i64) -> Result<String, String> {
        let options = load_file(&self.config, false).map_err(|errors| lines(&errors))?;
        let token = &options.client.token;
        let signer = signer("client.token", token.hmac_secret_key.expose(), &token.user_id_claim)?;
        let (issued_at, expires_at) = self.times(unix_seconds);
        let token = ConnectToken { user: self.user.clone(), issued_at, expires_at, more: Vec::new() };
        let text = signer.sign_connect(&token).map_err(|error| error.to_string())?;
        Ok(self.told("", text))
    }

    fn times(&self, unix_seconds: i64) -> (Option<i64>, Option<i64>) {
        (Some(unix_seconds), (self.ttl > 0).then(|| unix_seconds.saturating_add(self.ttl)))
    }

    fn told(&self, what: &str, token: String) -> String {
        if self.quiet {
            return token;
        }
        let user = quoted_user(&self.user);
        let until = if self.ttl > 0 {
            format!("good for {} seconds", self.ttl)
        } else {
            "that does not expire".to_owned()
        };
        format!("HMAC SHA-256 JWT for {user}{what} {until}:\n{token}\n")
    }
}

impl GenSubToken {
    /// The token, or a text around it.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration, or that it has no secret.
    pub fn run(&self, unix_seconds: i64) -> Result<String, String> {
        let options = load_file(&self.token.config, false).map_err(|errors| lines(&errors))?;
        if self.channel.is_empty() {
            return Err("--channel must not be empty".to_owned());
        }
        let own = &options.client.subscription_token;
        let common = &options.client.token;
        let signer = if own.enabled {
            signer("client.subscription_token", own.hmac_secret_key.expose(), &own.user_id_claim)?
        } else {
            signer("client.token", common.hmac_secret_key.expose(), &common.user_id_claim)?
        };
        let (issued_at, expires_at) = self.token.times(unix_seconds);
        let token = SubscribeToken {
            user: self.token.user.clone(),
            channel: self.channel.clone(),
            issued_at,
            expires_at,
            more: Vec::new(),
        };
        let text = signer.sign_subscribe(&token).map_err(|error| error.to_string())?;
        Ok(self.token.told(&format!(" and channel {:?}", self.channel), text))
    }
}

fn signer(path: &str, secret: &str, user_id_claim: &str) -> Result<Signer, String> {
    if secret.is_empty() {
        return Err(format!(
            "{path}.hmac_secret_key is not set: only tokens signed with it can be made here"
        ));
    }
    Ok(Signer::hs256(&Secret::from(secret)).with_user_id_claim(user_id_claim))
}

fn quoted_user(user: &str) -> String {
    if user.is_empty() { "an anonymous user".to_owned() } else { format!("user {user:?}") }
}

impl CheckToken {
    /// Says for whom a connection token is, and what it claims. The signature is checked whatever the configuration
    /// says.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration or the token.
    pub fn run(&self, unix_seconds: i64) -> Result<String, String> {
        let tokens = self.tokens()?;
        load_keys(&tokens.token, &self.token, unix_seconds)?;
        let claims = tokens.token.verify_connect(&self.token, unix_seconds);
        let claims = claims.map_err(|error| self.wrong(error))?;
        Ok(format!("valid token for {}\n{}", quoted_user(&claims.user), self.contents()))
    }

    /// Says for whom and which channel a subscription token is, and what it claims.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration or the token.
    pub fn run_subscription(&self, unix_seconds: i64) -> Result<String, String> {
        let tokens = self.tokens()?;
        let verifier = tokens.for_subscriptions();
        load_keys(verifier, &self.token, unix_seconds)?;
        let claims = verifier.verify_subscribe(&self.token, unix_seconds);
        let claims = claims.map_err(|error| self.wrong(error))?;
        let (user, channel) = (quoted_user(&claims.user), claims.channel.as_str());
        Ok(format!("valid subscription token for {user} and channel {channel:?}\n{}", self.contents()))
    }

    fn tokens(&self) -> Result<TokensConfig, String> {
        let mut options = load_file(&self.config, false).map_err(|errors| lines(&errors))?;
        options.client.insecure_skip_token_signature_verify = false;
        Ok(settings(&options)?.tokens)
    }

    fn wrong(&self, error: TokenError) -> String {
        format!("{error}\n{}", self.contents().trim_end())
    }

    /// What is written in the token, which only its holder sees here.
    fn contents(&self) -> String {
        TokenReport::unchecked(&self.token).to_string()
    }
}

fn settings(options: &Options) -> Result<Settings, String> {
    Settings::new(options).map_err(|errors| lines(&errors))
}

/// Takes the name of an action.
fn action() -> impl TypedValueParser<Value = Action> {
    PossibleValuesParser::new(Action::ALL.map(Action::name))
        .map(|name| Action::named(&name).unwrap_or_default())
}

/// Fetches the keys that the token needs, if they come from a key set.
fn load_keys(verifier: &Verifier, token: &str, unix_seconds: i64) -> Result<(), String> {
    verifier.load_keys(token, unix_seconds).map_or(Ok(()), wait)
}

/// Waits for the network, outside of a server.
fn wait<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| error.to_string())?.block_on(work))
}

impl Explain {
    /// Says what the server would decide, and by which rules.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration.
    pub fn run(&self, unix_seconds: i64) -> Result<String, String> {
        let options = load_file(&self.config, false).map_err(|errors| lines(&errors))?;
        let Settings { namespaces, tokens, .. } = settings(&options)?;
        let query = ExplainQuery {
            action: self.action,
            channel: self.channel.clone(),
            user: self.user.clone(),
            subscribed: self.subscribed,
            token: self.token.clone(),
            connection_token: self.connection_token.clone(),
            data: Payload::from(self.data.clone().into_bytes()),
            unix_seconds,
        };
        let (namespaces, tokens) = (Live::new(namespaces), Live::new(tokens));
        Ok(wait(explain(&namespaces, &tokens, &query))?.to_string())
    }
}
