//! Publications and who is present, by themselves.

use bytes::Bytes;
use prost::Message;
use tourbillon_types::{Channel, ClientInfo, Payload, Publication};

use super::wire;
use super::{client_info, publication};
use crate::DecodeError;
use crate::stored::{Carried, Stored};

pub(crate) fn stored_publication(it: &Publication) -> Vec<u8> {
    publication_to_wire(it, Bytes::new()).encode_to_vec()
}

fn publication_to_wire(it: &Publication, prev_data: Bytes) -> wire::Publication {
    wire::Publication {
        data: it.data.bytes().clone(),
        info: it.info.as_deref().map(info_to_wire),
        offset: it.offset,
        tags: it.tags.as_deref().cloned().unwrap_or_default(),
        delta: it.delta,
        time: it.time,
        channel: it.channel.as_deref().unwrap_or_default().to_owned(),
        key: it.key.as_deref().unwrap_or_default().to_owned(),
        removed: it.removed,
        score: it.score,
        epoch: it.epoch.as_str().to_owned(),
        prev_data,
        version: it.version,
    }
}

pub(crate) fn read_stored_publication(bytes: Bytes) -> Result<(Publication, Bytes), DecodeError> {
    wire::Publication::decode(bytes).map(with_previous).map_err(broken)
}

fn with_previous(mut wire: wire::Publication) -> (Publication, Bytes) {
    let previous = std::mem::take(&mut wire.prev_data);
    (publication(wire), previous)
}

pub(crate) fn carried_push(channel: &str, carried: &Carried) -> Vec<u8> {
    let mut push = wire::Push { channel: channel.to_owned(), ..wire::Push::default() };
    match carried {
        Carried::Publication(Stored { publication, previous }) => {
            push.r#pub = Some(publication_to_wire(publication, previous.bytes().clone()));
        }
        Carried::Join(info) => push.join = Some(wire::Join { info: Some(info_to_wire(info)) }),
        Carried::Leave(info) => push.leave = Some(wire::Leave { info: Some(info_to_wire(info)) }),
    }
    push.encode_to_vec()
}

pub(crate) fn read_carried_push(bytes: Bytes) -> Result<(Channel, Carried), DecodeError> {
    let push = wire::Push::decode(bytes).map_err(broken)?;
    let carried = if let Some(it) = push.r#pub {
        let (publication, previous) = with_previous(it);
        Carried::Publication(Stored { publication, previous: Payload::new(previous) })
    } else if let Some(it) = push.join {
        Carried::Join(client_info(it.info.unwrap_or_default()))
    } else if let Some(it) = push.leave {
        Carried::Leave(client_info(it.info.unwrap_or_default()))
    } else {
        return Err(DecodeError::Hollow);
    };
    Ok((Channel::from(push.channel), carried))
}

pub(crate) fn stored_info(it: &ClientInfo) -> Vec<u8> {
    info_to_wire(it).encode_to_vec()
}

pub(crate) fn read_stored_info(bytes: Bytes) -> Result<ClientInfo, DecodeError> {
    wire::ClientInfo::decode(bytes).map(client_info).map_err(broken)
}

fn info_to_wire(it: &ClientInfo) -> wire::ClientInfo {
    wire::ClientInfo {
        user: it.user.to_string(),
        client: it.client.map(|client| client.to_string()).unwrap_or_default(),
        conn_info: it.connection.bytes().clone(),
        chan_info: it.channel.bytes().clone(),
    }
}

fn broken(error: prost::DecodeError) -> DecodeError {
    DecodeError::Protobuf(error.to_string())
}
