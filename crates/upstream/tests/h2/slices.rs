//! For any slicing of a server's bytes, the result is the same.

use fetchway_upstream::Failure;
use fetchway_upstream::h2::Event;
use proptest::prelude::*;

use crate::peer::*;

type Outcome = (Vec<Event>, Vec<Sent>, Result<(), Failure>);

fn outcome(bytes: &[u8], slices: &[usize]) -> Outcome {
    let mut talk = Talk::asked(4);
    talk.send(&[b'x'; 70_000]);
    let mut result = Ok(());
    let mut rest = bytes;
    let mut slices = slices.iter().cycle();
    while !rest.is_empty() && result.is_ok() {
        let length = slices.next().map_or(rest.len(), |length| *length);
        let (slice, behind) = rest.split_at(length.clamp(1, rest.len()));
        result = talk.feed(slice);
        rest = behind;
    }
    talk.connection.end(&mut talk.events);
    (talk.events(), talk.frames(), result)
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let stream = prop_oneof![9 => prop::sample::select(vec![1u32, 3, 5, 7, 9]), 1 => 0u32..14];
    let head = prop_oneof![
        Just(vec![(":status", "200")]),
        Just(vec![
            (":status", "200"),
            ("content-type", "a"),
            ("content-length", "5")
        ]),
        Just(vec![(":status", "103")]),
        Just(vec![("trailer", "x")]),
    ];
    let flags = prop::sample::select(vec![0u8, END_STREAM, HEAD, ALL, HEAD, ALL, 0xff]);
    let payload = prop::collection::vec(any::<u8>(), 0..40);
    stream.prop_flat_map(move |stream| {
        prop_oneof![
            4 => (flags.clone(), head.clone())
                .prop_map(move |(flags, head)| headers(flags & ALL, stream, &head)),
            4 => (flags.clone(), payload.clone())
                .prop_map(move |(flags, data)| frame(DATA, flags & END_STREAM, stream, &data)),
            1 => (1u32..9_000).prop_map(move |growth| window_update(stream, growth)),
            1 => (1u32..9_000).prop_map(move |growth| window_update(0, growth)),
            1 => (0u32..14).prop_map(move |code| reset(stream, code)),
            1 => Just(goaway(stream, 0)),
            1 => prop::collection::vec((1u16..7, 0u32..70_000), 0..3).prop_map(|said| settings(&said)),
            1 => Just(frame(PING, 0, 0, &[7; 8])),
            1 => (0u8..12, flags.clone(), payload.clone())
                .prop_map(move |(kind, flags, payload)| frame(kind, flags, stream, &payload)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn slices_change_nothing(
        frames in prop::collection::vec(any_frame(), 0..30),
        slices in prop::collection::vec(1usize..60, 1..6),
    ) {
        let bytes = frames.concat();
        let whole = outcome(&bytes, &[]);
        prop_assert_eq!(&outcome(&bytes, &slices), &whole);
        // Each stream has one end.
        let mut ended: Vec<u32> = whole.0.iter().map(|event| match event {
            Event::Response(stream, _) | Event::Failed(stream, _) | Event::Full(stream, _) => *stream,
        }).collect();
        ended.sort_unstable();
        prop_assert_eq!(ended, [1, 3, 5, 7, 9]);
    }
}
