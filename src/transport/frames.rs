//! Where HTTP/2 frames begin in a stream of bytes, and what their heads say (RFC 9113 4.1). No I/O.

/// Frame types (RFC 9113 6).
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const GOAWAY: u8 = 7;

/// The flag of DATA and HEADERS that ends a stream's direction.
const END_STREAM: u8 = 1;

/// The flags of HEADERS that put something before its header block: PADDED and PRIORITY.
const BEFORE_BLOCK: u8 = 0x28;

/// Length (3 bytes), type, flags, stream (4 bytes).
pub(super) const HEAD: usize = 9;

/// How much is read of the payload of RST_STREAM, GOAWAY and HEADERS: a GOAWAY's last stream and code.
const BEGIN: usize = 8;

/// The head of one frame, and how the payload of a RST_STREAM, GOAWAY or HEADERS begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    flags: u8,
    pub(super) stream: u32,
    /// The length of its payload.
    pub(super) length: usize,
    begin: [u8; BEGIN],
}

impl Frame {
    pub(super) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The error code of a RST_STREAM.
    pub(super) fn reset_code(&self) -> u32 {
        number(&self.begin[..4])
    }

    /// How the header block of a HEADERS begins, unless something stands before it.
    pub(super) fn block(&self) -> &[u8] {
        if self.flags & BEFORE_BLOCK == 0 { &self.begin[..self.length.min(BEGIN)] } else { &[] }
    }

    /// The last stream that a GOAWAY covers.
    pub(super) fn last_stream(&self) -> u32 {
        number(&self.begin[..4]) & STREAM_BITS
    }
}

/// A stream id has 31 bits; the first one is reserved.
const STREAM_BITS: u32 = u32::MAX >> 1;

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Finds the frames in bytes that come in pieces of any size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frames {
    /// Bytes to pass before the next head.
    skip: usize,
    head: [u8; HEAD + BEGIN],
    /// How many bytes of `head` have been read.
    have: usize,
}

impl Frames {
    /// The frames of a peer that says `preface` bytes first.
    pub(super) fn after(preface: usize) -> Self {
        Self { skip: preface, head: [0; HEAD + BEGIN], have: 0 }
    }

    /// Reads up to the end of the next head. Returns how many of the bytes it took, and the frame once its head is
    /// complete.
    pub(super) fn next(&mut self, bytes: &[u8]) -> (usize, Option<Frame>) {
        let mut taken = self.skip.min(bytes.len());
        self.skip -= taken;
        if self.skip > 0 {
            return (taken, None);
        }
        loop {
            let wanted = self.wanted() - self.have;
            let part = &bytes[taken..bytes.len().min(taken + wanted)];
            self.head[self.have..self.have + part.len()].copy_from_slice(part);
            self.have += part.len();
            taken += part.len();
            if part.len() < wanted {
                return (taken, None);
            }
            // The type, once it is known, may ask for more.
            if self.have == self.wanted() {
                return (taken, Some(self.finish()));
            }
        }
    }

    fn wanted(&self) -> usize {
        match (self.have, self.head[3]) {
            (HEAD.., HEADERS | RST_STREAM | GOAWAY) => HEAD + BEGIN.min(self.length()),
            _ => HEAD,
        }
    }

    fn length(&self) -> usize {
        usize::from(self.head[0]) << 16 | usize::from(self.head[1]) << 8 | usize::from(self.head[2])
    }

    fn finish(&mut self) -> Frame {
        let [.., b0, b1, b2, b3, b4, b5, b6, b7] = self.head;
        let frame = Frame {
            kind: self.head[3],
            flags: self.head[4],
            stream: number(&self.head[5..HEAD]) & STREAM_BITS,
            length: self.length(),
            begin: [b0, b1, b2, b3, b4, b5, b6, b7],
        };
        self.skip = HEAD + frame.length - self.have;
        self.have = 0;
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    /// The frames in these bytes when they come in pieces of this size.
    fn found(bytes: &[u8], piece: usize) -> Vec<Frame> {
        let mut frames = Frames::after(3);
        let mut found = Vec::new();
        for mut piece in bytes.chunks(piece) {
            while !piece.is_empty() {
                let (taken, frame) = frames.next(piece);
                found.extend(frame);
                piece = &piece[taken..];
            }
        }
        found
    }

    #[test]
    fn frames_are_found_in_pieces_of_any_size() {
        let goaway = [&7_u32.to_be_bytes()[..], &11_u32.to_be_bytes(), b"debug data"].concat();
        let bytes = [
            b"PRI".to_vec(),
            frame(4, 0, 0, &[]),
            frame(HEADERS, 4, 1, b"head"),
            frame(DATA, END_STREAM, 1, &[0; 300]),
            frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()),
            frame(GOAWAY, 0, 0, &goaway),
            frame(6, 0, 0, &[1; 8]),
        ]
        .concat();
        let whole = found(&bytes, bytes.len());
        let kinds: Vec<_> = whole.iter().map(|f| (f.kind, f.stream, f.length)).collect();
        assert_eq!(kinds, [(4, 0, 0), (1, 1, 4), (0, 1, 300), (3, 1, 4), (7, 0, 18), (6, 0, 8)]);
        assert_eq!(whole[3].reset_code(), 8);
        assert_eq!(whole[4].last_stream(), 7);
        assert_eq!(whole.iter().map(Frame::ends_stream).collect::<Vec<_>>(), [false, false, true, false, false, false]);
        for piece in 1..=40 {
            let pieces: Vec<_> = found(&bytes, piece).iter().map(|f| (f.kind, f.stream, f.length)).collect();
            assert_eq!(pieces, kinds, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_reset_that_is_too_short_ends_with_its_payload() {
        let bytes = [b"PRI".to_vec(), frame(RST_STREAM, 0, 1, &[0, 0]), frame(6, 0, 0, &[1; 8])].concat();
        assert_eq!(found(&bytes, 5).iter().map(|f| f.kind).collect::<Vec<_>>(), [RST_STREAM, 6]);
    }
}
