//! The API's questions about permissions, answered by the rules in force.

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use tourbillon::node::Refusal;
use tourbillon::types::SystemClock;
use tourbillon_access::{
    Action, ExplainQuery, Live, Namespaces, TokenReport, TokensConfig, Verdict, explain,
};
use tourbillon_api::{ApiError, Explain, ExplainedRule, ExplainedToken, Explains, Explanation};

/// The rules and keys in force.
#[derive(Clone, Debug)]
pub(crate) struct Explainer {
    pub(crate) namespaces: Live<Namespaces>,
    pub(crate) tokens: Live<TokensConfig>,
}

impl Explains for Explainer {
    fn explain(&self, query: Explain) -> BoxFuture<'_, Result<Explanation, ApiError>> {
        Box::pin(async move {
            let action = match query.action.as_str() {
                "" => Action::default(),
                name => Action::named(name).ok_or_else(|| {
                    let names = Action::ALL.map(Action::name).join(", ");
                    ApiError::BAD_REQUEST.with_message(format!("action: {name:?} is none of {names}"))
                })?,
            };
            let query = ExplainQuery {
                action,
                channel: query.channel.to_string(),
                user: query.user.to_string(),
                subscribed: query.subscribed,
                token: query.token,
                connection_token: query.connection_token,
                data: query.data,
                unix_seconds: SystemClock::unix_millis() / 1_000,
            };
            Ok(told(explain(&self.namespaces, &self.tokens, &query).await))
        })
    }
}

fn told(explanation: tourbillon_access::Explanation) -> Explanation {
    let verdict = explanation.verdict();
    let (allowed, code) = match explanation.decision.verdict() {
        Verdict::Allowed(_) => (true, 0),
        Verdict::Refused(Refusal::Error(error)) => (false, error.code.0),
        Verdict::Refused(Refusal::Disconnect(disconnect)) => (false, disconnect.code),
        _ => (false, ApiError::INTERNAL.code),
    };
    let rule = |step: &tourbillon_access::Step| ExplainedRule {
        rule: step.rule.name(),
        outcome: step.outcome.name(),
        why: step.why.to_owned(),
    };
    Explanation {
        allowed,
        verdict,
        code,
        rules: explanation.decision.steps().iter().map(rule).collect(),
        namespace: explanation.namespace,
        token: explanation.token.map(token),
        connection_token: explanation.connection.map(token),
    }
}

fn token(report: TokenReport) -> ExplainedToken {
    // What is no JSON is no token, and said to be none.
    ExplainedToken { claims: RawValue::from_string(report.claims).ok(), problem: report.problem }
}
