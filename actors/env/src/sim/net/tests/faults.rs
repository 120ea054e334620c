//! Cuts, plugs, resets, NATs, lost datagrams, and what an observer sees.

use std::io;

use super::*;
use crate::sim::{DatagramConfig, Kill, Seen};

/// What a host's stream told, and when.
type Told = Log<(Time, Result<usize, io::ErrorKind>)>;

fn pair(seed: u64) -> (World, HostId, HostId) {
    let mut world = World::new(seed);
    let (a, b) = (host(&mut world, LinkConfig::DEFAULT), host(&mut world, LinkConfig::DEFAULT));
    (world, a, b)
}

/// Reads until the stream ends or fails, and writes a byte every 10 ms until it fails.
async fn converse(env: NodeEnv, stream: Stream, told: Told) {
    let writer = env.spawn("writer", {
        let (env, stream) = (env.clone(), Arc::clone(&stream));
        async move {
            while stream.write_all(&[1]).await.is_ok() {
                env.sleep(MS(10)).await;
            }
        }
    });
    let mut buf = BytesMut::with_capacity(1000);
    loop {
        buf.clear();
        let read = stream.read_some(&mut buf).await.map_err(|error| error.kind());
        told.lock().unwrap().push((env.now(), read));
        if read.is_err() || read == Ok(0) {
            break;
        }
    }
    drop((writer, stream));
    std::future::pending::<()>().await;
}

/// Two hosts that talk to each other, and what each was told.
fn talking(world: &mut World, a: HostId, b: HostId) -> (Told, Told) {
    let (at_a, at_b) = (Told::default(), Told::default());
    let log = Arc::clone(&at_b);
    run(world, b, |env| async move {
        let listener = listen(&env).await;
        let stream = listener.accept().await.unwrap();
        converse(env, stream, log).await;
    });
    let log = Arc::clone(&at_a);
    run(world, a, move |env| async move {
        let stream = dial(&env, b).await;
        converse(env, stream, log).await;
    });
    (at_a, at_b)
}

/// How many bytes were told from a moment on, up to another.
fn told_in(told: &Told, from: Time, to: Time) -> usize {
    let told = told.lock().unwrap();
    told.iter().filter(|(at, _)| *at >= from && *at < to).filter_map(|(_, read)| read.ok()).sum()
}

fn failures(told: &Told) -> Vec<(Time, io::ErrorKind)> {
    told.lock().unwrap().iter().filter_map(|(at, read)| Some((*at, read.err()?))).collect()
}

#[test]
fn a_one_way_cut_holds_the_bytes_of_one_way() {
    let (mut world, a, b) = pair(1);
    let (at_a, at_b) = talking(&mut world, a, b);
    world.run_for(MS(500));
    world.set_one_way_cut(a, b, true);
    world.run_for(MS(1000));
    world.set_one_way_cut(a, b, false);
    world.run_for(MS(1000));
    let (cut, healed, end) = (Time::from_millis(500), Time::from_millis(1500), world.now());
    assert_eq!(told_in(&at_b, cut, healed), 0, "nothing goes that way");
    assert!(told_in(&at_a, cut, healed) > 95, "the other way is open");
    assert!(told_in(&at_b, healed, end) > 190, "what waited comes when it heals");
}

#[test]
fn nothing_leaves_or_reaches_an_unplugged_host_and_nobody_is_told() {
    let (mut world, a, b) = pair(2);
    let (at_a, at_b) = talking(&mut world, a, b);
    world.run_for(MS(500));
    world.unplug(b, true);
    world.run_for(MS(1000));
    let (out, end) = (Time::from_millis(500), world.now());
    assert_eq!((told_in(&at_a, out, end), told_in(&at_b, out, end)), (0, 0));
    assert!(failures(&at_a).is_empty() && failures(&at_b).is_empty());
    world.unplug(b, false);
    world.run_for(MS(500));
    assert!(told_in(&at_a, end, world.now()) > 140 && told_in(&at_b, end, world.now()) > 140);
}

#[test]
fn a_process_that_dies_unplugged_is_known_to_be_dead_when_its_host_is_plugged_in() {
    let (mut world, a, b) = pair(2);
    let (at_a, _) = talking(&mut world, a, b);
    world.run_for(MS(500));
    world.unplug(b, true);
    world.kill(b, Kill::Process);
    world.run_for(MS(1000));
    assert_eq!(failures(&at_a), []);
    world.unplug(b, false);
    world.run_for(MS(500));
    assert_eq!(failures(&at_a), [(Time::from_millis(1520), io::ErrorKind::ConnectionReset)]);
}

#[test]
fn a_host_that_lost_its_power_says_nothing_until_it_is_back() {
    let (mut world, a, b) = pair(3);
    let (at_a, _) = talking(&mut world, a, b);
    world.run_for(MS(500));
    world.kill(b, Kill::Power);
    world.run_for(MS(1000));
    assert_eq!(failures(&at_a), []);
    run(&mut world, b, |_| std::future::pending());
    world.run_for(MS(500));
    assert_eq!(failures(&at_a), [(Time::from_millis(1520), io::ErrorKind::ConnectionReset)]);
}

#[test]
fn both_ends_see_a_reset_after_the_latency() {
    let (mut world, a, b) = pair(4);
    let (at_a, at_b) = talking(&mut world, a, b);
    world.watch();
    world.run_for(MS(500));
    world.reset(b, a);
    world.run_for(MS(500));
    let seen = [(Time::from_millis(520), io::ErrorKind::ConnectionReset)];
    assert_eq!((failures(&at_a), failures(&at_b)), (seen.to_vec(), seen.to_vec()));
    let closed: Vec<_> =
        world.take_seen().into_iter().filter(|it| matches!(it, Seen::Closed { .. })).collect();
    let of = |side| Seen::Closed { stream: 0, side, reset: true };
    assert_eq!(closed, [of(0), of(1)], "once each");
}

/// When connecting gave what, if it did.
fn dialling(world: &mut World, from: HostId, to: HostId) -> Log<(Time, bool)> {
    let log = Log::default();
    let told = Arc::clone(&log);
    run(world, from, move |env| async move {
        let stream = env.net().connect(address(to), None).await;
        told.lock().unwrap().push((env.now(), stream.is_ok()));
        std::future::pending::<()>().await;
    });
    log
}

#[test]
fn a_host_behind_a_nat_connects_out_and_nobody_connects_to_it() {
    let (mut world, inside, outside) = pair(5);
    let nat = LinkConfig { accepts: false, ..LinkConfig::DEFAULT };
    world.set_link(inside, nat);
    let (at_inside, at_outside) = talking(&mut world, inside, outside);
    let other = host(&mut world, LinkConfig::DEFAULT);
    let dialled = dialling(&mut world, other, inside);
    world.run_for(MS(500));
    assert!(told_in(&at_inside, Time::ZERO, world.now()) > 40);
    assert!(told_in(&at_outside, Time::ZERO, world.now()) > 40);
    assert_eq!(dialled.lock().unwrap().len(), 0, "no answer, not even a refusal");
    world.set_link(inside, LinkConfig::DEFAULT);
    world.run_for(MS(500));
    assert_eq!(dialled.lock().unwrap()[..], [(Time::from_millis(540), false)], "nobody listens");
}

#[test]
fn an_attempt_waits_for_cuts_and_plugs_and_goes_on() {
    for one_way in [false, true] {
        let (mut world, a, b) = pair(6);
        sink(&mut world, b);
        world.set_one_way_cut(b, a, true);
        world.unplug(a, !one_way);
        let dialled = dialling(&mut world, a, b);
        world.run_for(MS(100));
        world.unplug(a, false);
        world.run_for(MS(100));
        assert_eq!(dialled.lock().unwrap().len(), 0);
        world.set_one_way_cut(b, a, false);
        world.run_for(MS(100));
        assert_eq!(dialled.lock().unwrap()[..], [(Time::from_millis(240), true)]);
    }
}

#[test]
fn who_gives_up_dialling_leaves_no_stream_behind() {
    let (mut world, a, b) = pair(7);
    sink(&mut world, b);
    world.watch();
    run(&mut world, a, move |env| async move {
        // Too short for the answer, exactly as long as it takes, and longer.
        for limit in [10, 30, 40, 50] {
            drop(env.timeout(MS(limit), env.net().connect(address(b), None)).await);
        }
        std::future::pending::<()>().await;
    });
    world.run_for(MS(1000));
    let seen = world.take_seen();
    let opened = seen.iter().filter(|it| matches!(it, Seen::Opened { .. })).count();
    let closed = seen.iter().filter(|it| matches!(it, Seen::Closed { .. })).count();
    assert_eq!((opened, closed), (4, 8));
}

/// Sends 1,000 numbered datagrams, one a millisecond: those that came, in order.
fn datagrams(seed: u64, config: DatagramConfig) -> Vec<u16> {
    let (mut world, a, b) = pair(seed);
    world.set_datagrams(config);
    let came: Log<u16> = Log::default();
    let log = Arc::clone(&came);
    let at = SocketAddr::from(([0, 0, 0, 0], PORT));
    run(&mut world, b, |env| async move {
        let socket = env.net().datagrams(at).await.unwrap();
        let mut buf = [0; 100];
        while let Ok((2, _)) = socket.recv(&mut buf).await {
            log.lock().unwrap().push(u16::from_le_bytes([buf[0], buf[1]]));
        }
    });
    run(&mut world, a, move |env| async move {
        let socket = env.net().datagrams(at).await.unwrap();
        for number in 0..1000_u16 {
            socket.try_send(&number.to_le_bytes(), address(b)).unwrap();
            env.sleep(MS(1)).await;
        }
        std::future::pending::<()>().await;
    });
    world.run_for(MS(2000));
    let came = came.lock().unwrap();
    came.clone()
}

#[test]
fn datagrams_are_lost_doubled_and_late_as_told() {
    let all: Vec<u16> = (0..1000).collect();
    assert_eq!(datagrams(8, DatagramConfig::default()), all);
    let lost = datagrams(8, DatagramConfig { loss: 0.3, ..DatagramConfig::default() });
    assert!((620..780).contains(&lost.len()) && lost.is_sorted(), "{}", lost.len());
    let doubled = datagrams(8, DatagramConfig { duplicate: 0.3, ..DatagramConfig::default() });
    assert!((1220..1380).contains(&doubled.len()) && doubled.is_sorted(), "{}", doubled.len());
    let late = DatagramConfig { reorder: 0.3, reorder_delay: MS(5), ..DatagramConfig::default() };
    let mut late = datagrams(8, late);
    let passed = late.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!((100..400).contains(&passed), "{passed}");
    late.sort_unstable();
    assert_eq!(late, all);
}

#[test]
fn the_loss_of_datagrams_follows_from_the_seed() {
    let half = DatagramConfig { loss: 0.5, ..DatagramConfig::default() };
    assert_eq!(datagrams(9, half), datagrams(9, half));
    assert_ne!(datagrams(9, half), datagrams(10, half));
}

#[test]
fn a_nat_lets_in_datagrams_of_those_that_were_spoken_to() {
    let (mut world, inside, outside) = pair(11);
    let stranger = host(&mut world, LinkConfig::DEFAULT);
    world.set_link(inside, LinkConfig { accepts: false, ..LinkConfig::DEFAULT });
    let came: Log<SocketAddr> = Log::default();
    let log = Arc::clone(&came);
    let at = SocketAddr::from(([0, 0, 0, 0], PORT));
    run(&mut world, inside, move |env| async move {
        let socket = env.net().datagrams(at).await.unwrap();
        socket.try_send(&[1], address(outside)).unwrap();
        while let Ok((_, from)) = socket.recv(&mut [0; 10]).await {
            log.lock().unwrap().push(from);
        }
    });
    for other in [outside, stranger] {
        run(&mut world, other, move |env| async move {
            let socket = env.net().datagrams(at).await.unwrap();
            env.sleep(MS(100)).await;
            socket.try_send(&[1], address(inside)).unwrap();
            std::future::pending::<()>().await;
        });
    }
    world.run_for(MS(500));
    assert_eq!(came.lock().unwrap()[..], [address(outside)]);
}

#[test]
fn an_observer_sees_streams_open_carry_bytes_and_close() {
    let (mut world, a, b) = pair(12);
    sink(&mut world, b);
    world.watch();
    run(&mut world, a, move |env| async move {
        let stream = dial(&env, b).await;
        send(&stream, 5, 3).await;
    });
    world.run_for(MS(500));
    let sent = |range: std::ops::Range<usize>| Seen::Sent {
        stream: 0,
        side: 0,
        bytes: range.map(pattern).collect(),
    };
    let expected = [
        Seen::Opened { stream: 0, dialler: a, acceptor: b },
        sent(0..3),
        sent(3..5),
        Seen::Closed { stream: 0, side: 0, reset: false },
        Seen::Read { stream: 0, side: 1, length: 3 },
        Seen::Read { stream: 0, side: 1, length: 2 },
        Seen::Closed { stream: 0, side: 1, reset: false },
    ];
    assert_eq!(world.take_seen(), expected);
    let mut seen = vec![expected[0].clone()];
    world.swap_seen(&mut seen);
    assert_eq!(seen, []);
}
