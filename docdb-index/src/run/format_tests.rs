use super::super::filter;
use super::*;

const IDENTITY: RunIdentity = RunIdentity {
    number: 7,
    salt: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TestPointer(u32);

impl Pointer for TestPointer {
    const BYTES: usize = 4;
    fn encode(self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0.to_le_bytes());
    }
    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(TestPointer(u32::from_le_bytes(bytes.try_into().ok()?)))
    }
}

type Entry = RunEntry<TestPointer>;

const ENTRIES: [Entry; 2] = [
    RunEntry {
        key: Key {
            collection: 1,
            id: 0x1122_3344_5566_7788,
        },
        ts: CommitTs(42),
        pointer: Some(TestPointer(0xaabb_ccdd)),
    },
    RunEntry {
        key: Key {
            collection: 2,
            id: 3,
        },
        ts: CommitTs(41),
        pointer: None,
    },
];

const META: RunMeta = RunMeta {
    entries: 2,
    tombstones: 1,
    data_blocks: 1,
    min_ts: CommitTs(41),
    max_ts: CommitTs(42),
    keys: Some((ENTRIES[0].key, ENTRIES[1].key)),
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn golden(page: &Page, expected: &str) {
    assert_eq!(hex(&page[..expected.len() / 2]), expected);
    assert!(page[expected.len() / 2..].iter().all(|&byte| byte == 0));
}

#[test]
fn golden_header() {
    let page = encode_header::<TestPointer>(&IDENTITY);
    golden(
        &page,
        "6ca7d6bf4452554e0100000004001900000000000000000000000000000000000700000000000000100f0e0d0c0b0a090807060504030201",
    );
    assert_eq!(decode_header::<TestPointer>(&page), Ok(IDENTITY));
}

#[test]
fn golden_block() {
    let page = encode_block(&ENTRIES, &IDENTITY, 1);
    golden(
        &page,
        "692e199b020000000100000088776655443322112a0000000000000000ddccbbaa020000000300000000000000290000000000000001",
    );
    let block = Block::check::<TestPointer>(&page, &IDENTITY, 1).unwrap();
    assert_eq!(block.entries(), 2);
    assert_eq!([0, 1].map(|i| block.entry(i).unwrap()), ENTRIES);
    assert_eq!(block.lower_bound(Key::MIN), 0);
    assert_eq!(block.lower_bound(ENTRIES[1].key), 1);
    assert_eq!(block.lower_bound(Key::MAX), 2);
}

#[test]
fn golden_fences() {
    let fences = ENTRIES.map(|entry| entry.key);
    let page = encode_fences(&fences, &IDENTITY, 2);
    golden(
        &page,
        "b2698ece02000000010000008877665544332211020000000300000000000000",
    );
    let mut decoded = Vec::new();
    decode_fences(&page, &IDENTITY, 2, 2, &mut decoded).unwrap();
    assert_eq!(decoded, fences);
    let wrong = decode_fences(&page, &IDENTITY, 2, 1, &mut Vec::new());
    assert_eq!(
        wrong,
        Err(FormatError::Corrupt("the number of fences is wrong"))
    );
    let again = decode_fences(&page, &IDENTITY, 2, 2, &mut decoded);
    assert_eq!(again, Err(FormatError::Corrupt("the fences do not ascend")));
}

#[test]
fn golden_filter() {
    let mut page = [0; PAGE_BYTES];
    for entry in &ENTRIES {
        filter::add(&mut page, entry.key, 0);
    }
    seal_filter(&mut page, 1, &IDENTITY, 2);
    // Computed by another program, from the description.
    golden(
        &page,
        "c596d3b00100000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000840000000000000000000000000000000000000000000001000000000000000000000000000000000000100108000000000000000000000000000000002000200000000000000000000000004000000000000000001000000000000000000000000000000000000000000000000000220",
    );
    assert_eq!(check_filter(&page, &IDENTITY, 2, 1), Ok(()));
    let wrong = check_filter(&page, &IDENTITY, 2, 2);
    assert_eq!(
        wrong,
        Err(FormatError::Corrupt("the number of blocks is wrong"))
    );
    let elsewhere = check_filter(&page, &IDENTITY, 3, 1);
    assert_eq!(
        elsewhere,
        Err(FormatError::Corrupt("the page's checksum is wrong"))
    );
}

/// Where blocks and filters lie, for every size of a run up to some groups.
#[test]
fn pages_follow_one_another_without_gaps() {
    for data_blocks in 0..100 {
        let meta = RunMeta {
            data_blocks,
            ..META
        };
        let mut index = 1;
        for block in 0..data_blocks {
            assert_eq!(block_page(block), index);
            index += 1;
            if (block + 1) % 31 == 0 || block + 1 == data_blocks {
                for of in block / 31 * 31..=block {
                    assert_eq!(meta.filter_page(of), index);
                }
                index += 1;
            }
        }
        assert_eq!(meta.fences_at(), index);
    }
}

#[test]
fn golden_footer() {
    let page = encode_footer(&META, &IDENTITY, 4);
    golden(
        &page,
        "140fc0e544524e460200000000000000010000000000000001000000000000000100000000000000010000000000000029000000000000002a00000000000000010000008877665544332211020000000300000000000000",
    );
    assert_eq!(decode_footer::<TestPointer>(&page, &IDENTITY, 4), Ok(META));
    assert_eq!(META.file_bytes(), 5 * PAGE_BYTES as u64);
}

#[test]
fn a_page_in_another_place_does_not_validate() {
    let page = encode_block(&ENTRIES, &IDENTITY, 1);
    for (identity, index) in [
        (IDENTITY, 2),
        (
            RunIdentity {
                number: 8,
                ..IDENTITY
            },
            1,
        ),
        (
            RunIdentity {
                salt: 8,
                ..IDENTITY
            },
            1,
        ),
    ] {
        let block = Block::check::<TestPointer>(&page, &identity, index);
        assert!(matches!(
            block,
            Err(FormatError::Corrupt("the page's checksum is wrong"))
        ));
    }
}

fn resealed(mut page: Page) -> Page {
    let crc = crc32fast::hash(&page[4..]);
    page[0..4].copy_from_slice(&crc.to_le_bytes());
    page
}

#[test]
fn unknown_versions_and_features_are_unsupported_and_compatible_ones_are_not() {
    let good = encode_header::<TestPointer>(&IDENTITY);
    for offset in [8, 12, 14, 16, 23, 56] {
        let mut page = good;
        page[offset] ^= 0x40;
        let decoded = decode_header::<TestPointer>(&resealed(page));
        assert!(
            matches!(decoded, Err(FormatError::Unsupported(_))),
            "{offset}: {decoded:?}"
        );
    }
    let mut compatible = good;
    compatible[31] = 0x80;
    assert_eq!(
        decode_header::<TestPointer>(&resealed(compatible)),
        Ok(IDENTITY)
    );
}

/// A footer that verifies but does not fit: another build's bug, or a lie. Nothing overflows and
/// nothing is believed.
#[test]
fn footers_that_do_not_fit_are_refused() {
    let wrong = Err(FormatError::Corrupt("the footer does not fit the file"));
    for (meta, index) in [
        (META, 5),
        (RunMeta { entries: 0, ..META }, 4),
        (
            RunMeta {
                entries: u64::MAX,
                ..META
            },
            4,
        ),
        (
            RunMeta {
                tombstones: 3,
                ..META
            },
            4,
        ),
        (
            RunMeta {
                data_blocks: 0,
                ..META
            },
            4,
        ),
        (
            RunMeta {
                data_blocks: u64::MAX,
                ..META
            },
            4,
        ),
        (
            RunMeta {
                min_ts: CommitTs(43),
                ..META
            },
            4,
        ),
        (
            RunMeta {
                keys: Some((Key::MAX, Key::MIN)),
                ..META
            },
            4,
        ),
    ] {
        let page = encode_footer(&meta, &IDENTITY, index);
        assert_eq!(
            decode_footer::<TestPointer>(&page, &IDENTITY, index),
            wrong,
            "{meta:?}"
        );
    }
}
