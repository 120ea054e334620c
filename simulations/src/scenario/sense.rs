//! Whether a scenario makes sense: what holds between its values, each refusal with its line.
//!
//! That a single value is in its bounds was seen when it was read ([`super::amount`]).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use cluster_config::{Config, Flag, Problem, Sources};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use toml::Spanned;

use super::error::{ScenarioError, Source, did_you_mean};
use super::kind::Kind;
use super::setting::setting;
use super::text::{ClassText, FaultText, FaultsText, Known, ScenarioText, TorrentText};
use super::{EVERYONE, SOMETIMES};
use crate::plan::{Role, Start};

/// The most hosts of a scenario.
pub(crate) const HOSTS_MAX: usize = 5000;
/// The most files of a torrent.
pub(crate) const FILES_MAX: usize = 1000;
/// The most pieces of a torrent.
pub(crate) const PIECES_MAX: u64 = 1 << 17;
/// The most bytes of content.
pub(crate) const CONTENT_MAX: u64 = 1 << 40;
/// The most bytes of content of all hosts together: their disks are in memory.
pub(crate) const DISKS_MAX: u64 = 64 << 30;
/// The most hosts that may all know each other.
const EVERYONE_MAX: usize = 500;
/// When faults end at the latest.
const UNTIL_MAX_MS: u64 = 3_600_000;
/// How long a fault may last.
pub(crate) const LASTS_MAX_MS: u64 = 600_000;

/// Keys of the configuration that the simulation sets itself.
const OURS: [&str; 5] = [
    "engine.download_dir",
    "engine.network.listen_ip",
    "engine.network.listen_port",
    "engine.network.allow_private_peers",
    "engine.network.extra_ca_file",
];

type Checked = Result<(), ScenarioError>;

/// Looks at everything.
pub(super) fn check(source: Source<'_>, scenario: &ScenarioText) -> Checked {
    let sense = Sense { source, scenario };
    sense.names()?;
    sense.torrent()?;
    sense.classes()?;
    sense.holders()?;
    if let Some(faults) = &scenario.faults {
        sense.faults(faults)?;
    }
    sense.expect()
}

/// Whether a word is of the form that names have.
pub(super) fn is_name(word: &str) -> bool {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=40).contains(&word.len())
        && word.chars().all(letters)
        && word.starts_with(|c: char| c.is_ascii_lowercase())
        && !word.ends_with('-')
}

struct Sense<'a> {
    source: Source<'a>,
    scenario: &'a ScenarioText,
}

impl Sense<'_> {
    fn wrong<T>(&self, span: Range<usize>, what: impl Into<String>) -> Result<T, ScenarioError> {
        Err(self.source.wrong(span, what))
    }

    fn all_classes(&self) -> &[ClassText] {
        self.scenario.hosts.get_ref()
    }

    /// The class of this name.
    fn class(&self, name: &str, span: Range<usize>) -> Result<&ClassText, ScenarioError> {
        let names = || self.all_classes().iter().map(|class| class.class.get_ref().as_str());
        let found = self.all_classes().iter().find(|class| class.class.get_ref() == name);
        match found {
            Some(class) => Ok(class),
            None => self.wrong(
                span,
                format!(
                    "unknown class {name}{}; expected one of {}",
                    did_you_mean(name, names()),
                    names().collect::<Vec<_>>().join(", ")
                ),
            ),
        }
    }

    fn names(&self) -> Checked {
        let ScenarioText { name, about, .. } = self.scenario;
        if !is_name(name.get_ref()) {
            let expected = "expected a name of small letters, digits and hyphens, as in slow-seed";
            return self.wrong(name.span(), expected);
        }
        let length = about.get_ref().chars().count();
        if !(1..=200).contains(&length) || about.get_ref().contains('\n') {
            return self.wrong(about.span(), "expected one line of at most 200 characters");
        }
        Ok(())
    }

    fn torrent(&self) -> Checked {
        let span = self.scenario.torrent.span();
        let torrent = self.scenario.torrent.get_ref();
        if torrent.size.is_some() == torrent.files.is_some() {
            return self.wrong(span, "expected either size or files in [torrent]");
        }
        let files = files_of(torrent);
        if !(1..=FILES_MAX).contains(&files.len()) {
            return self.wrong(span, format!("expected 1 to {FILES_MAX} files"));
        }
        let total = files.iter().fold(0_u64, |sum, size| sum.saturating_add(*size));
        if total > CONTENT_MAX {
            return self.wrong(span, "impossible size: expected at most 1 TiB of files");
        }
        let pieces = total.div_ceil(torrent.piece_length.0.0);
        if pieces > PIECES_MAX {
            let what = format!("impossible size: {pieces} pieces, expected at most {PIECES_MAX}");
            return self.wrong(span, what);
        }
        let engines = self.all_classes().iter().filter(|class| class.role != Role::Tracker);
        let engines =
            engines.fold(0_u64, |sum, class| sum.saturating_add(class.count.get_ref().0.0));
        if total.saturating_mul(engines) > DISKS_MAX {
            let what = "impossible size: all hosts' content is in memory, expected at most 64 GiB";
            return self.wrong(span, what);
        }
        Ok(())
    }

    fn classes(&self) -> Checked {
        let span = self.scenario.hosts.span();
        let total = self.all_classes().iter().fold(0_usize, |sum, c| sum.saturating_add(c.count()));
        if !(1..=HOSTS_MAX).contains(&total) {
            return self.wrong(span, format!("{total} hosts, expected 1 to {HOSTS_MAX}"));
        }
        let mut seen = BTreeSet::new();
        for class in self.all_classes() {
            let name = class.class.get_ref();
            if !is_name(name) || name == EVERYONE || name.ends_with(|c: char| c.is_ascii_digit()) {
                let expected = "expected a name of small letters and hyphens that does not end in \
                                a digit, other than everyone";
                return self.wrong(class.class.span(), expected);
            }
            if !seen.insert(name) {
                let what = format!("class {name} stands here twice, expected each once");
                return self.wrong(class.class.span(), what);
            }
            self.one_class(class, total)?;
        }
        Ok(())
    }

    fn one_class(&self, class: &ClassText, hosts: usize) -> Checked {
        if let Some(leaves) = &class.leaves
            && leaves.get_ref().low <= class.arrives.high
        {
            return self.wrong(leaves.span(), "expected to leave after the last has arrived");
        }
        if let Some(has) = &class.has
            && class.role == Role::Tracker
        {
            return self.wrong(has.span(), "a tracker has no pieces, expected no has");
        }
        if *class.start.get_ref() == Start::Magnet && class.has().high.0 > 0.0 {
            let what = "who starts with a magnet link has no pieces yet, expected has = 0";
            return self.wrong(class.start.span(), what);
        }
        if let Some(tracker) = &class.tracker {
            let name = tracker.get_ref();
            if self.class(name, tracker.span())?.role != Role::Tracker {
                let what =
                    format!("{name} is no tracker, expected a class with role = \"tracker\"");
                return self.wrong(tracker.span(), what);
            }
        }
        if let Some(knows) = &class.knows {
            if self.scenario.torrent.get_ref().private {
                let what =
                    "peers of a private torrent come from its tracker alone, expected no knows";
                return self.wrong(knows.span(), what);
            }
            for known in &knows.get_ref().0 {
                self.known(class, known, knows.span(), hosts)?;
            }
        }
        self.config(class)
    }

    fn known(&self, class: &ClassText, known: &Known, span: Range<usize>, hosts: usize) -> Checked {
        let peers = |class: &&ClassText| class.role != Role::Tracker;
        let there = if known.class == EVERYONE {
            if known.count.is_none() && hosts > EVERYONE_MAX {
                let what =
                    format!("expected at most {EVERYONE_MAX} hosts where they know everyone");
                return self.wrong(span, what);
            }
            self.all_classes().iter().filter(peers).map(ClassText::count).sum::<usize>()
        } else {
            let other = self.class(&known.class, span.clone())?;
            if other.role == Role::Tracker {
                let what = format!("{} is a tracker, expected tracker = \"{0}\"", known.class);
                return self.wrong(span, what);
            }
            other.count()
        };
        let own = known.class == EVERYONE || known.class == *class.class.get_ref();
        let others = there.saturating_sub(usize::from(own && class.role != Role::Tracker));
        if known.count.is_some_and(|count| count > others) {
            return self
                .wrong(span, format!("expected a count of at most {others}, so many there are"));
        }
        Ok(())
    }

    fn config(&self, class: &ClassText) -> Checked {
        for key in class.config.keys() {
            let honoured =
                key.get_ref().starts_with("engine.") || key.get_ref().starts_with("tracker.");
            if OURS.contains(&key.get_ref().as_str()) {
                let what = format!("{key} is set by the simulation, expected another key");
                return self.wrong(key.span(), what);
            }
            // A key of a part that is not simulated; one that does not exist is told by the next check.
            let known = is_key(key.get_ref());
            if known && !honoured {
                let what = format!("{key} is not simulated, expected a key of engine or tracker");
                return self.wrong(key.span(), what);
            }
            if class.role == Role::Tracker || class.role == Role::Liar {
                let what = format!("{key}: this role has no engine, expected no config");
                return self.wrong(key.span(), what);
            }
        }
        // What is not pinned is drawn to fit, so what is wrong here is wrong with every seed.
        let drawn = setting(class.pinned(), &mut SmallRng::seed_from_u64(0));
        let Err((key, what)) = check_config(&drawn) else { return Ok(()) };
        let place = class.config.keys().find(|own| key.as_deref() == Some(own.get_ref().as_str()));
        self.wrong(place.map_or(class.class.span(), Spanned::span), what)
    }

    /// Somebody must have what the others want.
    fn holders(&self) -> Checked {
        let need_not = &self.scenario.expect.not_complete;
        let engines = |class: &&ClassText| class.role == Role::Engine;
        let wants =
            |class: &ClassText| need_not.iter().all(|name| name.get_ref() != class.class.get_ref());
        let has = |class: &ClassText| class.has().high.0 * class.count.get_ref().0.0 as f64;
        let held: f64 = self.all_classes().iter().filter(engines).map(has).sum();
        if self.all_classes().iter().filter(engines).any(wants) && held < 1.0 {
            let what = "nobody has all pieces, expected hosts whose has adds up to 1 or more";
            return self.wrong(self.scenario.hosts.span(), what);
        }
        Ok(())
    }

    fn faults(&self, faults: &FaultsText) -> Checked {
        if faults.until.get_ref().0.0 > UNTIL_MAX_MS {
            return self.wrong(faults.until.span(), "expected faults to end within 1h");
        }
        for (kind, fault) in faults.kinds() {
            self.fault(kind, fault)?;
        }
        Ok(())
    }

    fn fault(&self, kind: Kind, spanned: &Spanned<FaultText>) -> Checked {
        let (word, span, fault) = (kind.word(), spanned.span(), spanned.get_ref());
        if let Some(name) = fault.given().find(|name| !kind.takes().contains(name)) {
            let takes = ["per_minute", "hosts"].iter().chain(kind.takes());
            let takes = takes.copied().collect::<Vec<_>>().join(", ");
            return self.wrong(span, format!("{word} takes no {name}, expected only {takes}"));
        }
        if fault.lasts.is_some_and(|lasts| lasts.high.0 > LASTS_MAX_MS || lasts.low.0 == 0) {
            return self.wrong(span, format!("expected {word} to last from 1ms to 10m"));
        }
        if fault.share.is_some_and(|share| share.low.0 <= 0.0) {
            return self.wrong(span, format!("expected a share of {word} above 0"));
        }
        for name in fault.hosts.iter().flatten() {
            let class = self.class(name.get_ref(), name.span())?;
            if !kind.fits(class.role) {
                let what = format!("{name} cannot have {word}, expected classes whose role can");
                return self.wrong(name.span(), what);
            }
        }
        let can = |class: &&ClassText| fault.hits(class.class.get_ref()) && kind.fits(class.role);
        let hosts: usize = self.all_classes().iter().filter(can).map(ClassText::count).sum();
        if hosts == 0 {
            return self.wrong(span, format!("no host can have {word}, expected one that can"));
        }
        Ok(())
    }

    fn expect(&self) -> Checked {
        let expect = &self.scenario.expect;
        if expect.complete_within.get_ref().0.0 < 1000 {
            return self.wrong(expect.complete_within.span(), "expected at least 1s");
        }
        for name in &expect.not_complete {
            self.class(name.get_ref(), name.span())?;
            let others = self.all_classes().iter().map(|class| class.class.get_ref());
            let mut longer = others.filter(|other| {
                other.starts_with(name.get_ref().as_str())
                    && expect.not_complete.iter().all(|name| name.get_ref() != *other)
            });
            if let Some(other) = longer.next() {
                let what =
                    format!("{name} is also the beginning of {other}, expected another name");
                return self.wrong(name.span(), what);
            }
        }
        for name in &expect.must_reach {
            if !SOMETIMES.contains(&name.get_ref().as_str()) {
                let what = format!(
                    "unknown rare path {name}{}; expected one of {}",
                    did_you_mean(name.get_ref(), SOMETIMES.iter().copied()),
                    SOMETIMES.join(", ")
                );
                return self.wrong(name.span(), what);
            }
        }
        Ok(())
    }
}

/// The files of a torrent.
pub(super) fn files_of(torrent: &TorrentText) -> Vec<u64> {
    match (&torrent.files, &torrent.size) {
        (Some(files), _) => files.iter().map(|size| size.0.0).collect(),
        (None, size) => size.iter().map(|size| size.0.0).collect(),
    }
}

/// Whether the configuration has such a key, whatever its value.
fn is_key(key: &str) -> bool {
    let mut flags = BTreeMap::new();
    flags.insert(key.to_owned(), String::new());
    !problems(&flags).iter().any(|problem| matches!(problem, Problem::UnknownKey { .. }))
}

/// Whether a host can be configured so; else the key that is wrong, where it is one, and why.
pub(crate) fn check_config(
    config: &BTreeMap<String, String>,
) -> Result<(), (Option<String>, String)> {
    let problems = problems(config);
    let Some(problem) = problems.first() else { return Ok(()) };
    Err(match problem {
        Problem::UnknownKey { key, suggestion, .. } => {
            let nearest =
                suggestion.as_ref().map(|key| format!(", did you mean {key}?")).unwrap_or_default();
            let what = format!("unknown key {key}{nearest}; expected a key of the configuration");
            (Some(key.clone()), what)
        }
        Problem::WrongValue { key, value, expects, .. } => {
            (Some(key.clone()), format!("{key} = {value}: expected {expects}"))
        }
        Problem::Contradiction { key, reason, other_key, .. } => {
            let given = if config.contains_key(*key) { key } else { other_key };
            (
                Some((*given).to_owned()),
                format!("{key} {reason} {other_key}, expected the contrary"),
            )
        }
        Problem::Unreadable { .. }
        | Problem::Syntax { .. }
        | Problem::UnreadableSecret { .. }
        | Problem::NoHome { .. } => (None, problem.to_string()),
    })
}

/// What the configuration says to these keys.
fn problems(config: &BTreeMap<String, String>) -> Vec<Problem> {
    let home = Flag::new("config", "node.data_dir", "/data");
    let given = config.iter().map(|(key, value)| Flag::new("config", key, value));
    let flags = std::iter::once(home).chain(given);
    let none: [(&str, &str); 0] = [];
    let loaded = Config::load(&Sources::bare(none).with_flags(flags));
    loaded.err().map(|error| error.problems).unwrap_or_default()
}
