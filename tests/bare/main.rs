//! How starts end, once more: tonic without its server half gives other codes for the same errors.

#[path = "../it/client/evidence.rs"]
mod evidence;
#[path = "../it/client/frames.rs"]
mod frames;
#[path = "../it/client/peers.rs"]
mod peers;
