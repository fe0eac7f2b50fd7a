use super::*;

const IDENTITY: FileIdentity = FileIdentity {
    number: 7,
    salt: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
};
const HEADER: FrameHeader = FrameHeader {
    flags: 0,
    id: FrameId {
        collection: 3,
        id: 0x1122_3344_5566_7788,
        version: 42,
    },
    len: 5,
    body_crc: 0x3610_a686,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn golden_file_header() {
    let bytes = encode_file_header(&IDENTITY);
    assert_eq!(
        hex(&bytes[..64]),
        "444f434442444154010000000010000000000000000000000000000000000000\
         0700000000000000100f0e0d0c0b0a0908070605040302010000000000000000"
    );
    assert!(bytes[64..4092].iter().all(|&byte| byte == 0));
    assert_eq!(hex(&bytes[4092..]), "bbbc671f");
    assert_eq!(decode_file_header(&bytes), Ok(IDENTITY));
}

#[test]
fn golden_frame_header() {
    assert_eq!(crc32fast::hash(b"hello"), HEADER.body_crc);
    let bytes = encode_frame_header(&HEADER, &IDENTITY, 4096);
    assert_eq!(
        hex(&bytes[..44]),
        "4446524d00000000030000000500000088776655443322112a0000000000000086a610360000000000000000"
    );
    assert_eq!(hex(&bytes[44..]), "c28ed55d");
    assert_eq!(decode_frame_header(&bytes, &IDENTITY, 4096), Ok(HEADER));
}

#[test]
fn a_frame_header_in_another_place_does_not_validate() {
    let bytes = encode_frame_header(&HEADER, &IDENTITY, 4096);
    let wrong = Err(FormatError::Corrupt("the frame header's checksum is wrong"));
    let other_number = FileIdentity {
        number: 8,
        ..IDENTITY
    };
    let other_salt = FileIdentity {
        salt: 1,
        ..IDENTITY
    };
    assert_eq!(decode_frame_header(&bytes, &IDENTITY, 4104), wrong);
    assert_eq!(decode_frame_header(&bytes, &other_number, 4096), wrong);
    assert_eq!(decode_frame_header(&bytes, &other_salt, 4096), wrong);
}

#[test]
fn every_flipped_bit_of_a_header_is_seen() {
    let file = encode_file_header(&IDENTITY);
    for bit in 0..file.len() * 8 {
        let mut bytes = file;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(
            matches!(decode_file_header(&bytes), Err(FormatError::Corrupt(_))),
            "bit {bit}"
        );
    }
    let frame = encode_frame_header(&HEADER, &IDENTITY, 4096);
    for bit in 0..frame.len() * 8 {
        let mut bytes = frame;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let decoded = decode_frame_header(&bytes, &IDENTITY, 4096);
        assert!(matches!(decoded, Err(FormatError::Corrupt(_))), "bit {bit}");
    }
}

fn with_crc(mut bytes: [u8; FILE_HEADER_BYTES]) -> [u8; FILE_HEADER_BYTES] {
    let crc = crc32fast::hash(&bytes[..4092]);
    bytes[4092..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn unknown_versions_and_features_are_unsupported_and_compatible_ones_are_not() {
    let good = encode_file_header(&IDENTITY);
    for offset in [8, 16, 23, 56] {
        let mut bytes = good;
        bytes[offset] ^= 0x40;
        let decoded = decode_file_header(&with_crc(bytes));
        assert!(
            matches!(decoded, Err(FormatError::Unsupported(_))),
            "{offset}: {decoded:?}"
        );
    }
    let mut compatible = good;
    compatible[24] = 1;
    assert_eq!(decode_file_header(&with_crc(compatible)), Ok(IDENTITY));

    let flags = FrameHeader { flags: 8, ..HEADER };
    let bytes = encode_frame_header(&flags, &IDENTITY, 4096);
    let decoded = decode_frame_header(&bytes, &IDENTITY, 4096);
    assert!(matches!(decoded, Err(FormatError::Unsupported(_))));
    let long = FrameHeader {
        len: BODY_BYTES_MAX + 1,
        ..HEADER
    };
    let bytes = encode_frame_header(&long, &IDENTITY, 4096);
    let decoded = decode_frame_header(&bytes, &IDENTITY, 4096);
    assert_eq!(
        decoded,
        Err(FormatError::Corrupt(
            "the frame's length is above the limit"
        ))
    );
}

#[test]
fn padding_fills_blocks() {
    for offset in (0..3 * BLOCK_BYTES).step_by(8) {
        let bytes = padding_bytes(offset);
        assert_eq!((offset + bytes as u64) % BLOCK_BYTES, 0);
        assert!(bytes == 0 || bytes >= FRAME_HEADER_BYTES);
        if bytes > 0 {
            let frame = padding_frame(bytes, &IDENTITY, offset);
            let mut header = [0; FRAME_HEADER_BYTES];
            header.copy_from_slice(&frame[..FRAME_HEADER_BYTES]);
            let header = decode_frame_header(&header, &IDENTITY, offset).unwrap();
            assert!(header.is_padding());
            assert_eq!(frame_bytes(header.len), bytes as u64);
        }
    }
}
