//! How a header block begins (RFC 7541), as far as it tells trailers from a head. Decodes nothing.
//!
//! h2 takes trailers with a `:status` for trailers. They are malformed (RFC 9113 8.1), and what is malformed proves
//! nothing. Pseudo-header fields come first in a block, so its first field tells; h2 refuses them further behind.

/// What the first field of a header block is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum FirstField {
    /// A pseudo-header field, such as `:status`. The peer may have put it into its table, to name it by an index later.
    Pseudo { is_stored: bool },
    /// Any other field.
    Regular,
    /// A field from the peer's table.
    FromTable,
    /// Something else, or too little to tell.
    Unclear,
}

/// The fields of the static table (RFC 7541 A): the pseudo-header fields stand first.
const LAST_PSEUDO: u8 = 14;
const FIRST_REGULAR: u8 = 15;
const LAST_STATIC: u8 = 61;

/// The first bits of `:` in the code of RFC 7541 B.
const COLON: u8 = 0b101_1100;

impl FirstField {
    /// The first field of a block that begins with these bytes.
    pub(super) fn of(block: &[u8]) -> Self {
        let [byte, rest @ ..] = block else { return Self::Unclear };
        let is_stored = byte & 0b1100_0000 == 0b0100_0000;
        let index = match byte {
            // An indexed field; what may be a number of several bytes is beyond the static table.
            0b1000_0000.. => byte & 0b0111_1111,
            0b0100_0000..=0b0111_1111 => byte & 0b0011_1111,
            // A change of the table's size.
            0b0010_0000..=0b0011_1111 => return Self::Unclear,
            // The number goes on in the next byte.
            _ if byte & 0b1111 == 0b1111 => rest.first().map_or(0, |more| more.saturating_add(0b1111)),
            _ => byte & 0b1111,
        };
        match index {
            0 if *byte >= 0b1000_0000 => Self::Unclear,
            0 => Self::named(rest, is_stored),
            1..=LAST_PSEUDO => Self::Pseudo { is_stored },
            FIRST_REGULAR..=LAST_STATIC => Self::Regular,
            _ => Self::FromTable,
        }
    }

    /// A field whose name is written out, behind its length and whether it is compressed.
    fn named(name: &[u8], is_stored: bool) -> Self {
        match name {
            [0b1000_0001..=0b1111_1110, first, ..] => match first >> 1 {
                COLON => Self::Pseudo { is_stored },
                _ => Self::Regular,
            },
            [1..=0b0111_1110, b':', ..] => Self::Pseudo { is_stored },
            [1..=0b0111_1110, _, ..] => Self::Regular,
            _ => Self::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_field_is_told_by_its_first_bytes() {
        let pseudo = |is_stored| FirstField::Pseudo { is_stored };
        for (block, first) in [
            // `:status: 200` and `:status: 404` of the static table, `content-type` of the same.
            (&[0x88][..], pseudo(false)),
            (&[0x8d], pseudo(false)),
            (&[0x80 | 31], FirstField::Regular),
            // `:status: 503` by the name in the static table: stored, not stored, never to be stored.
            (&[0x48, 3, b'5'], pseudo(true)),
            (&[0x08, 3, b'5'], pseudo(false)),
            (&[0x18, 3, b'5'], pseudo(false)),
            // `content-type` likewise; its number has two bytes where four bits have no room for it.
            (&[0x5f, 3, b'a'], FirstField::Regular),
            (&[0x0f, 16, 3, b'a'], FirstField::Regular),
            // Written out.
            (&[0x40, 7, b':', b's'], pseudo(true)),
            (&[0x00, 7, b':', b's'], pseudo(false)),
            (&[0x00, 11, b'g', b'r'], FirstField::Regular),
            (&[0x10, 0x85, 0b1011_1000, 0x4e], pseudo(false)),
            (&[0x40, 0x88, 0b1001_1010, 0xca], FirstField::Regular),
            // From the peer's table: the field, or its name.
            (&[0x80 | 62], FirstField::FromTable),
            (&[0xff, 0], FirstField::FromTable),
            (&[0x7e, 1, b'0'], FirstField::FromTable),
            (&[0x0f, 47, 1, b'0'], FirstField::FromTable),
            (&[0x0f, 0xff, 1], FirstField::FromTable),
            // A change of the table's size, no such index, a name without letters, and too little.
            (&[0x20, 0x88], FirstField::Unclear),
            (&[0x80], FirstField::Unclear),
            (&[0x40, 0, 1, b'0'], FirstField::Unclear),
            (&[0x40, 0xff, 1, b'0'], FirstField::Unclear),
            (&[0x40, 7], FirstField::Unclear),
            (&[0x40], FirstField::Unclear),
            (&[0x0f], FirstField::Unclear),
            (&[], FirstField::Unclear),
        ] {
            assert_eq!(FirstField::of(block), first, "{block:02x?}");
        }
    }
}
