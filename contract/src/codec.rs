//! The codec of the check stream: protobuf, with the bounds of a message checked before it is decoded.

use crate::{bounds, wire};
use prost::Message;
use prost::bytes::Buf;
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

/// A message that is read from a peer.
pub trait Bounded: Message + Default + Send + 'static {
    /// Checks its encoded form.
    fn check(encoded: &[u8]) -> Result<(), bounds::Exceeded>;
}

impl Bounded for wire::FilterMessage {
    fn check(encoded: &[u8]) -> Result<(), bounds::Exceeded> {
        bounds::check(encoded)
    }
}

impl Bounded for wire::ServiceMessage {
    /// The service is trusted. The filter does not read with this codec.
    fn check(_: &[u8]) -> Result<(), bounds::Exceeded> {
        Ok(())
    }
}

/// Encodes `T` and decodes `U`.
#[derive(Debug)]
pub struct BoundedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Send + 'static, U: Bounded> Codec for BoundedCodec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(PhantomData)
    }
}

/// Decodes `U`.
#[derive(Debug)]
pub struct BoundedDecoder<U>(PhantomData<U>);

impl<U: Bounded> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // Takes the bytes over, without a copy.
        let encoded = buffer.copy_to_bytes(buffer.remaining());
        U::check(&encoded).map_err(|exceeded| Status::out_of_range(format!("a message has {exceeded}")))?;
        U::decode(encoded).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
