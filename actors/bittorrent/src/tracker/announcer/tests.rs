//! Schedules in virtual time: tiers, events, intervals and back-off.

use proptest::prelude::*;
use rand::SeedableRng;

use super::super::announce::Retry;
use super::super::announce::{Error, INTERVAL_MAX};
use super::*;
use crate::{InfoHash, PeerId};

const TOTALS: Totals = Totals { uploaded: 1000, downloaded: 500, left: 10 };

/// An announcer, its clock, and what it asked for and has no answer yet.
struct Scene {
    announcer: Announcer,
    now: Time,
    asked: Vec<(TrackerKey, TrackerUrl, AnnounceRequest)>,
}

impl Scene {
    /// A tracker's name is the first part of its host; each string is a tier.
    fn new(tiers: &[&str]) -> Self {
        let identity = Identity {
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId([2; 20]),
            port: 6881,
            key: 3,
            ip: None,
            ipv6: None,
        };
        let rng = SmallRng::seed_from_u64(7);
        let announcer = Announcer::new(identity, Settings::default(), urls(tiers), rng);
        Self { announcer, now: Time::from_secs(1000), asked: Vec::new() }
    }

    fn started(tiers: &[&str]) -> Self {
        let mut scene = Self::new(tiers);
        scene.announcer.start(scene.now, Totals { left: 99, ..TOTALS });
        scene
    }

    /// Does what is due now. Gives the names and events of the announces.
    fn due(&mut self) -> Vec<(String, Event)> {
        if self.announcer.poll_timeout() > self.now {
            return Vec::new();
        }
        let actions = self.announcer.handle_timeout(self.now, TOTALS);
        let named = |action: Action| {
            let Action::Announce { key, tracker, request } = action;
            let seen = (tracker.host().to_owned(), request.event);
            self.asked.push((key, tracker, request));
            seen
        };
        actions.into_iter().map(named).collect()
    }

    /// Lets time pass until something is asked, and gives the seconds that it took.
    fn wait(&mut self) -> (u64, Vec<(String, Event)>) {
        let begin = self.now;
        for _ in 0..100 {
            let due = self.due();
            if !due.is_empty() {
                return (self.now.since(begin).as_secs(), due);
            }
            let next = self.announcer.poll_timeout();
            assert!(next < Time::MAX, "nothing will ever be asked");
            self.now = self.now.max(next);
        }
        panic!("it spins");
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn take(&mut self, name: &str) -> TrackerKey {
        let at = self.asked.iter().position(|(_, url, _)| url.host() == name).unwrap();
        self.asked.remove(at).0
    }

    fn answer_with(&mut self, name: &str, response: &AnnounceResponse) {
        let key = self.take(name);
        self.announcer.on_response(self.now, key, response);
    }

    fn answer(&mut self, name: &str, interval: u64) {
        self.answer_with(name, &response(interval));
    }

    fn fail_with(&mut self, name: &str, failure: &Failure) {
        let key = self.take(name);
        self.announcer.on_failure(self.now, key, failure);
    }

    fn fail(&mut self, name: &str) {
        self.fail_with(name, &Failure::new("no way"));
    }

    fn statuses(&self) -> Vec<(String, Status)> {
        let name = |url: &str| url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        self.announcer.snapshot().iter().map(|seen| (name(&seen.url), seen.status)).collect()
    }
}

fn urls(tiers: &[&str]) -> Vec<Vec<TrackerUrl>> {
    let url = |name: &str| format!("http://{name}/").parse().unwrap();
    tiers.iter().map(|tier| tier.split_whitespace().map(url).collect()).collect()
}

fn response(interval: u64) -> AnnounceResponse {
    AnnounceResponse {
        interval: Duration::from_secs(interval),
        min_interval: None,
        seeds: Some(1),
        leeches: None,
        peers: Vec::new(),
        external_ip: None,
        tracker_id: None,
        warning: None,
    }
}

fn one(name: &str, event: Event) -> Vec<(String, Event)> {
    vec![(name.to_owned(), event)]
}

#[test]
fn an_interval_is_kept_also_if_it_is_short() {
    let mut scene = Scene::new(&["a"]);
    assert_eq!(scene.announcer.poll_timeout(), Time::MAX, "not started");
    scene.announcer.start(scene.now, Totals::default());
    assert_eq!(scene.due(), one("a", Event::Started));
    assert_eq!(scene.announcer.poll_timeout(), Time::MAX, "it waits for the answer");
    for interval in [1, 3, 1800] {
        scene.answer("a", interval);
        assert_eq!(scene.wait(), (interval, one("a", Event::None)));
    }
}

#[test]
fn the_spacing_holds_whatever_the_tracker_asks_for() {
    let mut scene = Scene::started(&["a"]);
    scene.announcer.settings.spacing = Duration::from_secs(10);
    scene.due();
    scene.answer("a", 2);
    assert_eq!(scene.wait(), (10, one("a", Event::None)));
}

#[test]
fn started_is_sent_until_a_tracker_has_answered_once() {
    let mut scene = Scene::started(&["a"]);
    scene.due();
    scene.fail("a");
    assert_eq!(scene.wait().1, one("a", Event::Started));
    scene.answer("a", 60);
    assert_eq!(scene.wait().1, one("a", Event::None));
    scene.fail("a");
    assert_eq!(scene.wait().1, one("a", Event::None), "it knows us");
}

#[test]
fn failures_back_off_to_half_an_hour() {
    let mut scene = Scene::started(&["a"]);
    scene.due();
    let mut waits = Vec::new();
    for _ in 0..12 {
        scene.fail("a");
        waits.push(scene.wait().0);
    }
    for (wait, full) in waits.iter().zip([5, 10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800]) {
        assert!((full * 3 / 4..=full).contains(wait), "{waits:?}");
    }
    scene.answer("a", 60);
    assert_eq!(scene.wait().0, 60);
    scene.fail("a");
    assert!(scene.wait().0 <= 5, "it begins anew after a good answer");
}

#[test]
fn a_tracker_says_when_to_come_back_or_never() {
    let mut scene = Scene::started(&["a"]);
    scene.due();
    let refused = |retry| Failure::from(&Error::Refused { reason: "busy".to_owned(), retry });
    scene.fail_with("a", &refused(Retry::After(Duration::from_secs(900))));
    assert_eq!(scene.wait(), (900, one("a", Event::Started)));
    scene.fail_with("a", &refused(Retry::Never));
    assert!(scene.due().is_empty());
    assert_eq!(scene.announcer.poll_timeout(), Time::MAX);
    assert_eq!(scene.announcer.snapshot()[0].message.as_deref(), Some("busy"));
    scene.announcer.reannounce();
    assert_eq!(scene.wait().1, one("a", Event::Started), "a user may try");
}

#[test]
fn tiers_are_tried_in_order_and_who_worked_moves_to_the_front() {
    let mut scene = Scene::started(&["a b c", "d"]);
    let order: Vec<String> = scene.statuses().into_iter().map(|(name, _)| name).collect();
    assert_eq!(order[3], "d");
    let [first, second, third] = [&order[0], &order[1], &order[2]];
    assert_eq!(scene.due(), one(first, Event::Started));
    scene.fail(first);
    assert_eq!(scene.due(), one(second, Event::Started), "at once");
    scene.fail(second);
    assert_eq!(scene.due(), one(third, Event::Started));
    scene.answer(third, 100);
    let shown = scene.statuses();
    let expected = [
        (third.clone(), Status::Working),
        (first.clone(), Status::Failed),
        (second.clone(), Status::Failed),
        ("d".to_owned(), Status::Idle),
    ];
    assert_eq!(shown, expected);
    assert_eq!(scene.wait(), (100, one(third, Event::None)), "it is the first now");
    scene.fail(third);
    assert_eq!(scene.due(), one(first, Event::Started), "its back-off is over");
}

#[test]
fn a_better_tier_is_tried_again_with_each_walk() {
    let mut scene = Scene::started(&["a", "b", "c"]);
    scene.due();
    scene.fail("a");
    scene.due();
    scene.answer("b", 100);
    assert_eq!(scene.wait(), (100, one("a", Event::Started)));
    scene.fail("a");
    assert_eq!(scene.due(), one("b", Event::None), "still the one that works");
    scene.answer("b", 4);
    assert_eq!(scene.wait(), (4, one("b", Event::None)), "a has to wait longer");
    scene.answer("b", 100);
    scene.wait();
    scene.answer("a", 50);
    assert_eq!(scene.wait(), (50, one("a", Event::None)));
    scene.answer("a", 50);
    scene.announcer.stop();
    let told: Vec<_> = scene.due();
    assert_eq!(told, [("a".to_owned(), Event::Stopped), ("b".to_owned(), Event::Stopped)]);
}

#[test]
fn a_slow_failure_does_not_keep_later_trackers_from_their_turn() {
    let mut scene = Scene::started(&["a", "b", "c"]);
    scene.due();
    for (name, next) in [("a", "b"), ("b", "c")] {
        scene.pass(465);
        scene.fail(name);
        assert_eq!(scene.due(), one(next, Event::Started));
    }
    scene.fail("c");
    assert_eq!(scene.wait().1, one("a", Event::Started), "a new walk");
}

#[test]
fn completed_is_sent_once_and_at_once() {
    let mut scene = Scene::started(&["a"]);
    scene.due();
    scene.announcer.completed();
    assert!(scene.due().is_empty(), "one announce at a time");
    scene.answer("a", 1800);
    assert_eq!(scene.wait(), (1, one("a", Event::Completed)));
    scene.fail("a");
    assert_eq!(scene.wait().1, one("a", Event::Completed), "until it was taken");
    scene.answer("a", 1800);
    assert_eq!(scene.wait(), (1800, one("a", Event::None)));
    scene.announcer.completed();
    scene.answer("a", 1800);
    assert_eq!(scene.wait(), (1800, one("a", Event::None)));
}

#[test]
fn a_torrent_that_was_complete_never_says_completed() {
    let mut scene = Scene::started(&["a"]);
    scene.due();
    scene.announcer.completed();
    scene.answer("a", 100);
    scene.wait();
    scene.answer("a", 100);
    scene.announcer.stop();
    scene.due();
    scene.answer("a", 100);
    scene.announcer.start(scene.now, TOTALS);
    assert_eq!(scene.wait().1, one("a", Event::Started));
    scene.answer("a", 100);
    assert_eq!(scene.wait(), (100, one("a", Event::None)));
}

#[test]
fn the_working_tracker_hears_of_completion_before_a_better_one_is_tried() {
    let mut scene = Scene::started(&["a", "b"]);
    scene.due();
    scene.fail("a");
    scene.due();
    scene.answer("b", 1800);
    scene.pass(100);
    scene.announcer.completed();
    assert_eq!(scene.due(), one("b", Event::Completed));
}

#[test]
fn stopped_goes_once_to_those_that_know_us() {
    let mut scene = Scene::started(&["a", "b", "c"]);
    scene.due();
    scene.fail("a");
    scene.due();
    scene.answer("b", 100);
    scene.announcer.stop();
    assert!(!scene.announcer.is_over());
    assert_eq!(scene.due(), one("b", Event::Stopped));
    assert_eq!(scene.asked[0].2.numwant, 0);
    assert_eq!(scene.announcer.poll_timeout(), Time::MAX);
    scene.fail("b");
    assert!(scene.due().is_empty() && scene.announcer.is_over());
    assert!(scene.statuses().iter().all(|(_, status)| *status == Status::Idle));
}

#[test]
fn a_tracker_that_answers_after_the_stop_is_told_too() {
    let mut scene = Scene::started(&["a"]);
    scene.due();
    scene.announcer.stop();
    assert!(scene.due().is_empty() && !scene.announcer.is_over());
    scene.answer("a", 100);
    assert_eq!(scene.due(), one("a", Event::Stopped));
    scene.answer("a", 100);
    assert!(scene.announcer.is_over());
    let mut scene = Scene::started(&["a"]);
    scene.due();
    scene.announcer.stop();
    scene.fail("a");
    assert!(scene.announcer.is_over());
}

#[test]
fn a_completion_that_nobody_heard_of_is_told_before_the_stop() {
    for completed_is_heard in [true, false] {
        let mut scene = Scene::started(&["a"]);
        scene.due();
        scene.announcer.completed();
        scene.announcer.stop();
        scene.answer("a", 100);
        assert_eq!(scene.due(), one("a", Event::Completed));
        assert_eq!(scene.asked[0].2.numwant, 0);
        match completed_is_heard {
            true => scene.answer("a", 100),
            false => scene.fail("a"),
        }
        assert_eq!(scene.due(), one("a", Event::Stopped));
        scene.answer("a", 100);
        assert!(scene.due().is_empty() && scene.announcer.is_over());
    }
}

#[test]
fn a_restart_waits_for_the_stop_to_end() {
    let mut scene = Scene::started(&["a"]);
    scene.due();
    scene.answer("a", 100);
    scene.announcer.stop();
    scene.due();
    scene.announcer.start(scene.now, TOTALS);
    assert!(scene.due().is_empty());
    scene.pass(5);
    scene.answer("a", 100);
    assert_eq!(scene.wait(), (0, one("a", Event::Started)));
}

#[test]
fn totals_count_from_the_start() {
    let mut scene = Scene::new(&["a"]);
    scene.announcer.start(scene.now, Totals { uploaded: 400, downloaded: 700, left: 1 });
    scene.due();
    let told = scene.asked[0].2.totals;
    assert_eq!(told, Totals { uploaded: 600, downloaded: 0, left: 10 }, "never below zero");
}

#[test]
fn a_user_may_announce_as_soon_as_the_least_interval_allows() {
    let mut scene = Scene::started(&["a", "b"]);
    scene.due();
    let least = Some(Duration::from_secs(300));
    scene.answer_with("a", &AnnounceResponse { min_interval: least, ..response(1800) });
    scene.pass(10);
    scene.announcer.reannounce();
    assert_eq!(scene.wait(), (290, one("a", Event::None)), "not another tracker instead");
    scene.answer("a", 1800);
    scene.announcer.reannounce();
    assert_eq!(scene.wait().0, 60, "a tracker that names none");
    scene.answer("a", 1800);
    assert_eq!(scene.wait().0, 1800, "once");
    scene.announcer.reannounce();
    scene.answer("a", 1800);
    assert_eq!(scene.wait().0, 1800, "one is under way already");
}

#[test]
fn a_user_need_not_wait_for_the_back_off() {
    let mut scene = Scene::started(&["a"]);
    scene.due();
    for _ in 0..8 {
        scene.fail("a");
        scene.wait();
    }
    scene.fail("a");
    assert!(scene.due().is_empty());
    scene.pass(2);
    scene.announcer.reannounce();
    assert_eq!(scene.wait().0, 3);
}

#[test]
fn urgent_need_shortens_the_interval_as_far_as_allowed() {
    let mut scene = Scene::started(&["a"]);
    scene.announcer.set_peer_need(PeerNeed::Urgent);
    scene.due();
    scene.answer("a", 1800);
    assert_eq!(scene.wait().0, 300);
    let least = Some(Duration::from_secs(900));
    scene.answer_with("a", &AnnounceResponse { min_interval: least, ..response(1800) });
    assert_eq!(scene.wait().0, 900);
    scene.announcer.set_peer_need(PeerNeed::None);
    scene.answer("a", 1800);
    assert_eq!(scene.wait().0, 1800);
    let numwant: Vec<_> = scene.asked.iter().map(|(_, _, request)| request.numwant).collect();
    assert_eq!(numwant, [0]);
}

#[test]
fn a_tracker_id_is_sent_back_to_its_tracker_until_it_changes() {
    let mut scene = Scene::started(&["a"]);
    scene.due();
    let id = |id: &[u8]| Some(id.to_vec());
    scene.answer_with("a", &AnnounceResponse { tracker_id: id(b"x"), ..response(9) });
    for _ in 0..2 {
        scene.wait();
        assert_eq!(scene.asked[0].2.tracker_id, id(b"x"));
        scene.answer("a", 9);
    }
}

#[test]
fn trackers_can_be_changed() {
    let mut scene = Scene::started(&["a", "b"]);
    scene.due();
    scene.answer("a", 100);
    scene.announcer.set_trackers(scene.now, urls(&["b", "a", "a c"]));
    assert_eq!(scene.statuses()[1], ("a".to_owned(), Status::Working), "what is known is kept");
    assert!(scene.due().is_empty(), "and the interval");
    scene.announcer.set_trackers(scene.now, urls(&["c"]));
    let expected = [("a".to_owned(), Event::Stopped), ("c".to_owned(), Event::Started)];
    assert_eq!(scene.due(), expected);
    scene.answer("a", 100);
    scene.announcer.set_trackers(scene.now, Vec::new());
    scene.answer("c", 100);
    assert_eq!(scene.announcer.poll_timeout(), Time::MAX);
    assert!(scene.announcer.snapshot().is_empty());
}

#[test]
fn what_is_shown_of_a_tracker() {
    let mut scene = Scene::started(&["a", "b"]);
    scene.due();
    scene.fail("a");
    scene.due();
    let warning = Some("old client".to_owned());
    scene.answer_with("b", &AnnounceResponse { warning, leeches: Some(4), ..response(100) });
    let shown = scene.announcer.snapshot();
    assert_eq!(
        shown[1],
        Snapshot {
            url: "http://b/".to_owned(),
            tier: 1,
            status: Status::Working,
            message: Some("old client".to_owned()),
            seeds: Some(1),
            leeches: Some(4),
            next_announce: Some(scene.now + Duration::from_secs(100)),
        }
    );
    assert_eq!(shown[0].message.as_deref(), Some("no way"));
    assert_eq!(shown[0].next_announce, shown[1].next_announce, "with the next walk");
}

#[test]
fn answers_that_nobody_waits_for_are_ignored() {
    let mut scene = Scene::started(&["a"]);
    scene.due();
    let key = scene.take("a");
    scene.announcer.on_response(scene.now, TrackerKey(99), &response(1));
    scene.announcer.on_response(scene.now, key, &response(100));
    scene.announcer.on_response(scene.now, key, &response(1));
    scene.announcer.on_failure(scene.now, key, &Failure::new("late"));
    assert_eq!(scene.wait().0, 100);
}

proptest! {
    #[test]
    fn it_never_spins_hammers_or_asks_two_at_once(
        steps in prop::collection::vec((0..8_u8, 0..4000_u64), 1..60),
    ) {
        let mut scene = Scene::started(&["a b", "c d e", "f"]);
        let mut last = BTreeMap::<String, Time>::new();
        for (step, number) in steps {
            let name = scene.asked.first().map(|(_, url, _)| url.host().to_owned());
            match (step, name) {
                (0 | 1, Some(name)) => scene.answer(&name, number % INTERVAL_MAX.as_secs() + 1),
                (2 | 3, Some(name)) => scene.fail(&name),
                (4, _) => scene.announcer.completed(),
                (5, _) => scene.announcer.reannounce(),
                (6, _) if number % 4 == 0 => scene.announcer.stop(),
                (6, _) => scene.announcer.start(scene.now, TOTALS),
                (7, _) if number % 4 == 0 => {
                    scene.announcer.set_trackers(scene.now, urls(&["b a", "d", "g"]));
                    scene.asked.clear();
                    scene.announcer.trackers.values_mut().for_each(|entry| entry.in_flight = None);
                }
                _ => scene.pass(number % 500),
            }
            for turn in 0.. {
                prop_assert!(turn < 20, "it spins");
                if scene.announcer.poll_timeout() > scene.now {
                    break;
                }
                for (name, event) in scene.due() {
                    let before = last.insert(name.clone(), scene.now);
                    let spaced = before.is_none_or(|at| scene.now.since(at) >= Duration::from_secs(1));
                    let last_words = scene.announcer.phase == Phase::Stopped;
                    let may = spaced || event == Event::Stopped || last_words;
                    prop_assert!(may, "{name} is hammered");
                }
            }
            // At the end each may be told on its own that we are complete.
            let regular = |request: &AnnounceRequest| {
                !matches!(request.event, Event::Stopped | Event::Completed)
            };
            let asking = scene.asked.iter().filter(|(_, _, request)| regular(request)).count();
            prop_assert!(asking <= 1, "{asking} at once");
        }
    }
}
