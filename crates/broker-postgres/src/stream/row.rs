//! What is in the table of publications.

use std::sync::Arc;

use bytes::Bytes;
use tokio_postgres::{Error, Row};
use tourbillon_types::{ClientInfo, Epoch, Payload, Publication, Tags, UserId};

use crate::table::names::Names;

/// Columns of a publication, to be read by [`publication`].
pub(crate) fn columns(names: &Names) -> String {
    let [data, connection, channel] = ["data", "conn_info", "chan_info"].map(|column| names.out(column));
    format!(
        "channel_offset, epoch, {data} AS data, tags::text AS tags, client_id, user_id, {connection} AS conn_info, \
         {channel} AS chan_info, (extract(epoch FROM created_at) * 1000)::bigint AS time"
    )
}

/// A publication, as it is delivered and as it is kept.
pub(crate) fn publication(row: &Row, names: &Names) -> Result<Publication, Error> {
    let offset: i64 = row.try_get("channel_offset")?;
    let tags: Option<&str> = row.try_get("tags")?;
    Ok(Publication {
        data: payload(row, "data", names)?,
        info: info(row, names)?.map(Arc::new),
        offset: offset.unsigned_abs(),
        epoch: Epoch::from(row.try_get::<_, &str>("epoch")?),
        // The functions see to it that they can be read.
        tags: tags.and_then(|tags| serde_json::from_str::<Tags>(tags).ok()).map(Arc::new),
        time: row.try_get("time")?,
        ..Publication::default()
    })
}

/// Who published, came or left.
pub(crate) fn info(row: &Row, names: &Names) -> Result<Option<ClientInfo>, Error> {
    let (client, user): (Option<&str>, Option<&str>) = (row.try_get("client_id")?, row.try_get("user_id")?);
    if client.is_none() && user.is_none() {
        return Ok(None);
    }
    Ok(Some(ClientInfo {
        user: UserId::from(user.unwrap_or_default()),
        // An application may have called it anything.
        client: client.and_then(|client| client.parse().ok()),
        connection: payload(row, "conn_info", names)?,
        channel: payload(row, "chan_info", names)?,
    }))
}

/// Bytes of the application. What PostgreSQL kept as JSON is JSON.
pub(crate) fn payload(row: &Row, column: &str, names: &Names) -> Result<Payload, Error> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    let Some(bytes) = bytes else { return Ok(Payload::empty()) };
    let bytes = Bytes::copy_from_slice(bytes);
    Ok(if names.binary { Payload::new(bytes) } else { Payload::from_json(bytes) })
}
