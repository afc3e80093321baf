//! Publications and who is present, by themselves.

use bytes::Bytes;
use prost::Message;
use tourbillon_types::{ClientInfo, Publication};

use super::wire;
use super::{client_info, publication};
use crate::DecodeError;

pub(crate) fn stored_publication(it: &Publication) -> Vec<u8> {
    let wire = wire::Publication {
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
        prev_data: Bytes::new(),
        version: it.version,
    };
    wire.encode_to_vec()
}

pub(crate) fn read_stored_publication(bytes: Bytes) -> Result<(Publication, Bytes), DecodeError> {
    let mut wire = wire::Publication::decode(bytes).map_err(broken)?;
    let previous = std::mem::take(&mut wire.prev_data);
    Ok((publication(wire), previous))
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
