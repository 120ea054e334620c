//! What happens when nothing happens.

use super::*;

#[test]
fn an_idle_connection_wakes_only_to_keep_alive() {
    let mut told = Told::fast();
    for round in 1..=3 {
        assert_eq!(text(&told.time_out().unwrap()), [""; 0]);
        assert_eq!(told.now, Time::from_secs(100 * round));
        assert_eq!(told.sent(), [Message::KeepAlive]);
        told.feed(&[Message::KeepAlive]).unwrap();
    }
}

#[test]
fn what_we_send_counts_as_keep_alive() {
    let mut told = Told::fast();
    told.wait(60);
    told.session.announce_have(told.now, PieceIndex(0));
    told.feed(&[Message::KeepAlive]).unwrap();
    assert_eq!(told.session.poll_timeout(), Time::from_secs(160));
    told.wait(60);
    told.session.sent(told.now, 16_384);
    assert_eq!(told.session.poll_timeout(), Time::from_secs(210));
}

#[test]
fn silence_ends_the_connection() {
    let mut told = Told::fast();
    assert!(told.time_out().is_ok());
    assert_eq!(told.time_out().unwrap_err(), Violation::Silence);
    assert_eq!(told.now, Time::from_secs(150));
}

#[test]
fn a_peer_that_never_answers_is_given_up_and_then_asked_for_one_block() {
    let mut told = Told::fast().serving();
    let blocks = [block(0, 0), block(0, 1)];
    told.request(&blocks);
    told.sent();
    let actions = told.time_out().unwrap();
    assert_eq!(told.now, Time::from_secs(30));
    assert_eq!(text(&actions), [released(Release::TimedOut, &blocks), "WantBlocks".to_owned()]);
    assert_eq!(told.sent(), blocks.map(Message::Cancel));
    assert_eq!(told.session.wanted(), 1);
    told.request(&blocks[..1]);
    let actions = told.time_out().unwrap();
    assert_eq!(told.now, Time::from_secs(60));
    let timed_out = released(Release::TimedOut, &blocks[..1]);
    assert_eq!(text(&actions), [timed_out, "Snubbed(true)".to_owned(), "WantBlocks".to_owned()]);
    assert!(told.session.snapshot(told.now).snubbed);
    // A block that comes late is forgiven, and the peer with it.
    let actions = told.feed(&[answer(block(0, 1))]).unwrap();
    assert!(matches!(&actions[..2], [Action::Snubbed(false), Action::Late(..)]), "{actions:?}");
    assert_eq!(told.session.wanted(), 8);
}

#[test]
fn a_block_that_comes_in_small_parts_is_waited_for_but_not_for_ever() {
    let mut told = Told::fast().serving();
    told.request(&[block(0, 0)]);
    told.feed(&[Message::KeepAlive]).unwrap();
    let mut wire = BytesMut::new();
    codec::encode(&answer(block(0, 0)), &mut wire);
    let mut buf = BytesMut::new();
    for _ in 0..2 {
        told.wait(25);
        buf.extend_from_slice(&wire.split_to(100));
        assert_eq!(text(&told.feed_bytes(&mut buf).unwrap()), [""; 0]);
    }
    // Sixty seconds after the request.
    let actions = told.time_out().unwrap();
    assert_eq!(told.now, Time::from_secs(60));
    assert_eq!(text(&actions)[0], released(Release::TimedOut, &[block(0, 0)]));
}

#[test]
fn a_request_that_is_passed_over_is_given_up_alone() {
    let mut told = Told::fast().serving();
    told.request(&[block(0, 0)]);
    for number in 1..36 {
        let next = block(number / 4, number % 4);
        told.request(&[next]);
        told.wait(1);
        let mut actions = told.feed(&[answer(next)]).unwrap();
        told.session.handle_timeout(told.now, &mut actions).unwrap();
        if actions.iter().any(|action| matches!(action, Action::Released { .. })) {
            let timed_out = released(Release::TimedOut, &[block(0, 0)]);
            assert!(text(&actions).contains(&timed_out), "{actions:?}");
            // Twice ten seconds and four round trips of one second each.
            assert_eq!(told.now, Time::from_secs(28));
            return;
        }
    }
    unreachable!("it was never given up");
}

#[test]
fn an_idle_session_is_small_and_gives_back_its_memory() {
    let size = size_of::<Session>();
    assert!(size <= 1_024, "{size} bytes");
    let layout = Layout { piece_count: 1_000, piece_length: 1 << 20, total_length: 1_000 << 20 };
    let mut told =
        Told::new(Config { layout: Some(layout), ..config() }, Capabilities::default()).served();
    told.session.set_interested(told.now, true);
    told.feed(&[Message::Bitfield(Bytes::from(vec![0xff; 125])), Message::Unchoke]).unwrap();
    let blocks: Vec<_> = (0..100).map(|number| block(number / 64, number % 64)).collect();
    told.request(&blocks);
    told.feed(&blocks.iter().copied().map(Message::Request).collect::<Vec<_>>()).unwrap();
    told.feed(&blocks.iter().copied().map(answer).collect::<Vec<_>>()).unwrap();
    told.reads(ReadLimit { blocks: 1_000, bytes: u64::MAX });
    told.sent();
    assert!(told.session.heap_bytes() > 1_024);
    told.wait(100);
    told.feed(&[Message::KeepAlive]).unwrap();
    told.time_out().unwrap();
    let bytes = told.session.heap_bytes();
    assert!(bytes <= 64, "{bytes} bytes");
}
