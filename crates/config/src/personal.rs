//! Channels of users' own: `client.subscribe_to_user_personal_channel` (LIFE-10).

use tourbillon_access::{Namespaces, PersonalChannel};

use crate::check::Checker;
use crate::model::Options;

const PATH: &str = "client.subscribe_to_user_personal_channel";

/// Which channel users get; `None` where they get none, or with an error.
pub(crate) fn channel(
    check: &mut Checker,
    options: &Options,
    namespaces: &Namespaces,
) -> Option<PersonalChannel> {
    let options = &options.client.subscribe_to_user_personal_channel;
    if !options.enabled {
        return None;
    }
    let namespace = options.personal_channel_namespace.clone();
    let single_connection = options.single_connection;
    let channel = namespaces.personal_channel(&namespace, "user");
    let Ok(found) = namespaces.find(&channel) else {
        let message = format!("there is no namespace {namespace:?}");
        check.error(&format!("{PATH}.personal_channel_namespace"), message);
        return None;
    };
    if single_connection && !found.rules.presence {
        let namespace = if namespace.is_empty() { "channel.without_namespace" } else { &namespace };
        check.error(&format!("{PATH}.single_connection"), format!("needs `presence` in {namespace}"));
    }
    Some(PersonalChannel { namespace, single_connection })
}
