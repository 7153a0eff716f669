//! Coded bytes cut into pieces at random: the seed is printed, and `FETCHWAY_TEST_SEED` sets it.

use compression_codecs::core::Level;
use compression_codecs::zstd::params::CParameter;
use compression_codecs::{
    BrotliEncoder, DeflateEncoder, EncodeV2, GzipEncoder, ZlibEncoder, ZstdEncoder,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;

const ALL: [Coding; 4] = [Coding::Gzip, Coding::Brotli, Coding::Zstd, Coding::Deflate];

fn encode(encoder: &mut dyn EncodeV2, plain: &[u8]) -> Vec<u8> {
    let mut coded = vec![0; 2 * plain.len() + (64 << 10)];
    let mut input = PartialBuffer::new(plain);
    let mut output = WriteBuffer::new_initialized(&mut coded);
    while input.written_len() < plain.len() {
        encoder.encode(&mut input, &mut output).unwrap();
    }
    while !encoder.finish(&mut output).unwrap() {}
    let written = output.written_len();
    coded.truncate(written);
    coded
}

fn coded(coding: Coding, plain: &[u8]) -> Vec<u8> {
    let level = Level::Fastest.into();
    match coding {
        Coding::Gzip => encode(&mut GzipEncoder::new(level), plain),
        Coding::Deflate => encode(&mut ZlibEncoder::new(level), plain),
        Coding::Zstd => encode(&mut ZstdEncoder::new(1), plain),
        Coding::Brotli => {
            let params = compression_codecs::brotli::params::EncoderParams::default();
            encode(
                &mut BrotliEncoder::new(params.quality(Level::Fastest)),
                plain,
            )
        }
    }
}

/// Bytes that neither compress away nor stay as they are.
fn plain(random: &mut StdRng, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| if at % 3 == 0 { random.random() } else { b'a' })
        .collect()
}

/// Decodes pieces, each as the body does: all that comes of one before the next.
fn decode<'a>(
    codings: &[Coding],
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, FetchError> {
    let mut decoder = Decoder::new(codings);
    let mut out = Vec::new();
    let mut pieces = pieces.into_iter();
    loop {
        while let Some(piece) = decoder.next()? {
            assert!(!piece.is_empty() && piece.len() <= PIECE);
            out.extend_from_slice(&piece);
        }
        if decoder.is_over() {
            return Ok(out);
        }
        match pieces.next() {
            Some(piece) => decoder.push(piece),
            None => decoder.end(),
        }
    }
}

/// Cuts `coded` into pieces, many of them of a single byte.
fn cut<'a>(random: &mut StdRng, mut coded: &'a [u8]) -> Vec<&'a [u8]> {
    let longest = [1, 2, 7, 1_000, 100_000][random.random_range(0..5)];
    let mut pieces = Vec::new();
    while !coded.is_empty() {
        let at = random.random_range(1..=longest).min(coded.len());
        let (piece, rest) = coded.split_at(at);
        pieces.push(piece);
        coded = rest;
    }
    pieces
}

#[expect(clippy::print_stdout, reason = "the runner shows it if the test fails")]
fn random() -> StdRng {
    let given = std::env::var("FETCHWAY_TEST_SEED").ok();
    let seed = given
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    // Shown by the test runner if the test fails.
    println!("FETCHWAY_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

#[test]
fn one_coding_or_two_are_undone_however_the_bytes_are_cut() {
    let mut random = random();
    for len in [0, 1, 2, 100, 5_000, 200_000] {
        let plain = plain(&mut random, len);
        for first in ALL {
            let once = coded(first, &plain);
            let pieces = cut(&mut random, &once);
            assert!(
                decode(&[first], pieces).unwrap() == plain,
                "{first:?}, {len} bytes"
            );
            for second in ALL {
                let twice = coded(second, &once);
                let pieces = cut(&mut random, &twice);
                let decoded = decode(&[first, second], pieces).unwrap();
                assert!(decoded == plain, "{first:?} in {second:?}, {len} bytes");
            }
        }
    }
}

#[test]
fn what_breaks_off_is_an_error_wherever_it_does() {
    let mut random = random();
    let plain = plain(&mut random, 20_000);
    for coding in ALL {
        let whole = coded(coding, &plain);
        let half = random.random_range(2..whole.len());
        for at in [1, half, whole.len() - 1] {
            let broken = decode(&[coding], [&whole[..at]]).unwrap_err();
            assert_eq!(
                broken.name,
                ErrorName::HttpResponseContentCoding,
                "{coding:?} at {at}"
            );
        }
        let twice = coded(Coding::Gzip, &whole[..half]);
        decode(&[coding, Coding::Gzip], [&twice[..]]).expect_err("the inner one breaks off");
    }
}

#[test]
fn an_empty_body_stands_for_itself() {
    for coding in ALL {
        assert!(decode(&[coding], []).unwrap().is_empty());
        assert!(decode(&[coding, Coding::Gzip], []).unwrap().is_empty());
        // Coded twice, the inner one empty.
        let inner = coded(Coding::Gzip, b"");
        assert!(
            decode(&[coding, Coding::Gzip], [&inner[..]])
                .unwrap()
                .is_empty()
        );
    }
}

#[test]
fn deflate_is_taken_raw_too() {
    let mut random = random();
    for len in [0, 1, 5_000] {
        let plain = plain(&mut random, len);
        let raw = encode(&mut DeflateEncoder::new(Level::Fastest.into()), &plain);
        let pieces = cut(&mut random, &raw);
        assert!(decode(&[Coding::Deflate], pieces).unwrap() == plain);
    }
}

#[test]
fn members_and_frames_follow_one_another() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        let many = [
            coded(coding, b"one"),
            coded(coding, b""),
            coded(coding, b"two"),
        ]
        .concat();
        let bytes: Vec<&[u8]> = many.chunks(1).collect();
        for pieces in [vec![&many[..]], bytes] {
            assert_eq!(decode(&[coding], pieces).unwrap(), b"onetwo");
        }
    }
}

#[test]
fn rubbish_after_the_end_is_ignored_where_others_do() {
    for coding in [Coding::Gzip, Coding::Brotli, Coding::Deflate] {
        let mut padded = coded(coding, b"text");
        padded.extend([0; 100]);
        assert_eq!(
            decode(&[coding], [&padded[..]]).unwrap(),
            b"text",
            "{coding:?}"
        );
        assert_eq!(
            decode(&[coding], padded.chunks(1)).unwrap(),
            b"text",
            "{coding:?}"
        );
    }
}

#[test]
fn flipped_bits_never_loop_or_panic() {
    let mut random = random();
    let plain = plain(&mut random, 3_000);
    for round in 0..400 {
        let coding = ALL[round % 4];
        let mut coded = coded(coding, &plain);
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..coded.len());
            coded[at] ^= 1 << random.random_range(0..8);
        }
        match decode(&[coding], cut(&mut random, &coded)) {
            Err(broken) => assert_eq!(broken.name, ErrorName::HttpResponseContentCoding),
            Ok(decoded) => assert!(decoded.len() < 64 << 20),
        }
    }
}

#[test]
fn a_zstd_frame_that_asks_for_a_large_window_is_refused() {
    for (window_log, fits) in [(ZSTD_WINDOW_LOG, true), (ZSTD_WINDOW_LOG + 1, false)] {
        let params = [CParameter::window_log(window_log)];
        let zeros = vec![0; 20 << 20];
        let frame = encode(&mut ZstdEncoder::new_with_params(1, &params), &zeros);
        assert!(frame.len() < 10_000);
        assert_eq!(
            decode(&[Coding::Zstd], [&frame[..]]).is_ok(),
            fits,
            "{window_log}"
        );
    }
}
