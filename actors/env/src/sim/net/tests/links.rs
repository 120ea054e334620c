//! Bandwidth: shares, rates, the window, and what short messages wait for.

use super::*;

#[test]
fn two_streams_that_always_have_something_to_send_get_equal_shares() {
    let mut world = World::new(1);
    let from = host(&mut world, link(1_000_000, u64::MAX));
    let to = [0, 1, 2].map(|_| host(&mut world, LinkConfig::DEFAULT));
    let received = to.map(|to| sink(&mut world, to));
    // One writes a megabyte at once, one as much as a turn, one a little at a time.
    let writes = [1_000_000, 16_384, 700];
    source(
        &mut world,
        from,
        to.into_iter().zip(writes).map(|(to, write)| (to, 9_000_000, write)).collect(),
    );
    world.run_for(MS(6000));
    let shares = received.map(|received| received.by(from, world.now()) as f64);
    for share in shares {
        assert!((share / 1_980_000.0 - 1.0).abs() < 0.02, "{shares:?}");
    }
}

#[test]
fn a_short_message_waits_for_a_turn_and_not_for_a_megabyte() {
    let mut world = World::new(1);
    let from = host(&mut world, link(1_000_000, u64::MAX));
    let (long, short) =
        (host(&mut world, LinkConfig::DEFAULT), host(&mut world, LinkConfig::DEFAULT));
    sink(&mut world, long);
    let received = sink(&mut world, short);
    run(&mut world, from, |env| async move {
        let (long, short) = (dial(&env, long).await, dial(&env, short).await);
        let _long = env.spawn("long", async move { send(&long, 1_000_000, 1_000_000).await });
        env.sleep(MS(40)).await;
        send(&short, 100, 100).await;
        std::future::pending::<()>().await;
    });
    world.run_for(MS(500));
    let parts = received.parts();
    // Two dials of 40 ms, then 40 ms; 20 ms on the way, and at most the 16.4 ms of one turn before it.
    let late = parts[0].0.since(Time::from_millis(140));
    assert!(parts.len() == 1 && late <= MS(17), "{late:?}");
}

#[test]
fn a_write_to_an_idle_link_leaves_at_once() {
    let mut world = World::new(1);
    let (from, to) = (host(&mut world, LinkConfig::DEFAULT), host(&mut world, LinkConfig::DEFAULT));
    let received = sink(&mut world, to);
    source(&mut world, from, vec![(to, 12_500, 12_500)]);
    world.run_for(MS(500));
    // 40 ms to connect, 1 ms for the bytes, 20 ms on the way; links of equal speed add nothing twice.
    assert_eq!(received.parts(), [(Time::from_millis(61), 12_500)]);
}

/// Between any two arrivals no more came than a rate allows, and so many turns.
fn never_faster(parts: &[(Time, usize)], bytes_per_s: u64, turns: usize) {
    for (index, &(begin, _)) in parts.iter().enumerate() {
        let mut sum = 0;
        for &(at, length) in &parts[index..] {
            sum += length;
            let allowed = at.since(begin).as_secs_f64() * bytes_per_s as f64 + 1.0;
            let allowed = allowed + (turns * 16_384) as f64;
            assert!(sum as f64 <= allowed, "{sum} bytes between {begin:?} and {at:?}");
        }
    }
}

#[test]
fn a_host_never_sends_faster_than_its_rate() {
    let mut world = World::new(2);
    let from = host(&mut world, link(200_000, u64::MAX));
    let to = [0, 1].map(|_| host(&mut world, link(u64::MAX, u64::MAX)));
    let received = to.map(|to| sink(&mut world, to));
    source(&mut world, from, vec![(to[0], 500_000, 1000), (to[1], 500_000, 100_000)]);
    // What waits at a cut is not sent at once when it heals.
    world.run_for(MS(500));
    world.set_cut(from, to[0], true);
    world.run_for(MS(1000));
    world.set_cut(from, to[0], false);
    world.run_for(MS(5000));
    let mut parts = received.map(|received| received.parts()).concat();
    parts.sort_unstable();
    assert_eq!(parts.iter().map(|part| part.1).sum::<usize>(), 1_000_000);
    // What was on its way when the path was cut, at most two turns, comes when it heals.
    never_faster(&parts, 200_000, 3);
}

#[test]
fn a_host_never_receives_faster_than_its_rate() {
    let mut world = World::new(3);
    let to = host(&mut world, link(u64::MAX, 300_000));
    let received = sink(&mut world, to);
    let from = [0, 1, 2].map(|_| host(&mut world, link(1_000_000, u64::MAX)));
    from.iter().for_each(|&from| source(&mut world, from, vec![(to, 400_000, 30_000)]));
    world.run_for(MS(2000));
    let parts = received.parts();
    never_faster(&parts, 300_000, 1);
    let sum: usize = parts.iter().map(|part| part.1).sum();
    assert!((570_000..600_000).contains(&sum), "the downlink is used: {sum}");
    let shares = from.map(|from| received.by(from, world.now()) as f64 / sum as f64);
    assert!(shares.iter().all(|share| (share - 1.0 / 3.0).abs() < 0.06), "{shares:?}");
    world.run_for(MS(3000));
    assert_eq!(received.parts().iter().map(|part| part.1).sum::<usize>(), 1_200_000);
}

#[test]
fn a_link_that_becomes_slow_is_slow_from_then_on_and_becomes_fast_again() {
    let mut world = World::new(4);
    let (from, to) = (host(&mut world, link(1_000_000, 1)), host(&mut world, link(1, u64::MAX)));
    let received = sink(&mut world, to);
    source(&mut world, from, vec![(to, 10_000_000, 100_000)]);
    world.run_for(MS(1040));
    let fast = received.by(from, world.now());
    assert!((950_000..=1_000_000).contains(&fast), "{fast}");
    // A turn takes 16 s now, and not a moment longer than the link is slow.
    world.set_link(from, link(1000, 1));
    world.run_for(MS(10_000));
    let slow = received.by(from, world.now()) - fast;
    assert!(slow < 60_000, "{slow}");
    world.set_link(from, link(1_000_000, 1));
    world.run_for(MS(1000));
    let again = received.by(from, world.now()) - fast - slow;
    assert!((940_000..=1_020_000).contains(&again), "{again}");
}

#[test]
fn no_more_than_a_window_is_unread() {
    let mut world = World::new(5);
    let (from, to) = (host(&mut world, LinkConfig::DEFAULT), host(&mut world, LinkConfig::DEFAULT));
    let written: Log<usize> = Log::default();
    let log = Arc::clone(&written);
    run(&mut world, to, |env| async move {
        let listener = listen(&env).await;
        let stream = listener.accept().await.unwrap();
        env.sleep(MS(1000)).await;
        let mut buf = BytesMut::with_capacity(100_000);
        assert_eq!(stream.read_some(&mut buf).await.unwrap(), 100_000);
        std::future::pending::<()>().await;
    });
    run(&mut world, from, |env| async move {
        let stream = dial(&env, to).await;
        loop {
            stream.writable().await.unwrap();
            log.lock().unwrap().push(stream.try_write(&[1; 50_000]).unwrap());
        }
    });
    world.run_for(MS(900));
    assert_eq!(written.lock().unwrap().iter().sum::<usize>(), 256 * 1024);
    world.run_for(MS(900));
    assert_eq!(written.lock().unwrap().iter().sum::<usize>(), 256 * 1024 + 100_000);
}

#[test]
fn datagrams_have_their_own_lane() {
    let mut world = World::new(6);
    let from = host(&mut world, link(1_000_000, u64::MAX));
    let to = host(&mut world, LinkConfig::DEFAULT);
    let came: Log<Time> = Log::default();
    let log = Arc::clone(&came);
    run(&mut world, to, |env| async move {
        let listener = listen(&env).await;
        let socket = env.net().datagrams(SocketAddr::from(([0, 0, 0, 0], 9))).await.unwrap();
        let _stream = listener.accept().await.unwrap();
        while socket.recv(&mut [0; 2000]).await.is_ok() {
            log.lock().unwrap().push(env.now());
        }
    });
    run(&mut world, from, |env| async move {
        let stream = dial(&env, to).await;
        let _long = env.spawn("long", async move { send(&stream, 200_000, 200_000).await });
        env.sleep(MS(10)).await;
        let socket = env.net().datagrams(SocketAddr::from(([0, 0, 0, 0], 9))).await.unwrap();
        let to = SocketAddr::new(address(to).ip(), 9);
        // As much as the stream has to send: both get half of the link.
        for _ in 0..180 {
            socket.try_send(&[0; 1000], to).unwrap();
        }
        let mut refused = 0;
        while socket.try_send(&[0; 1000], to).is_ok() {
            refused += 1;
            assert!(refused < 1000, "a lane without end");
        }
        std::future::pending::<()>().await;
    });
    world.run_for(MS(270));
    // From 50 ms on half a megabyte a second, 20 ms on the way.
    let came = came.lock().unwrap().len();
    assert!((85..=117).contains(&came), "{came}");
}
