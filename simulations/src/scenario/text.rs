//! A scenario as it stands in its file, with the places that a refusal names.
//!
//! What a single value may be is checked here as it is read; what holds between values is
//! [`super::sense`].

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use super::amount::{
    Count, Micros, Millis, Multiple, One, PerMinute, PieceLength, Range, Share, Size, Speed,
};
use super::kind::Kind;
use crate::plan::{Role, Start};

/// A file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScenarioText {
    pub(super) name: Spanned<String>,
    pub(super) about: Spanned<String>,
    pub(super) torrent: Spanned<TorrentText>,
    #[serde(default)]
    pub(super) datagrams: DatagramText,
    pub(super) hosts: Spanned<Vec<ClassText>>,
    #[serde(default)]
    pub(super) faults: Option<FaultsText>,
    pub(super) expect: ExpectText,
}

/// `[torrent]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TorrentText {
    #[serde(default)]
    pub(super) size: Option<One<Size>>,
    #[serde(default)]
    pub(super) files: Option<Vec<One<Size>>>,
    pub(super) piece_length: One<PieceLength>,
    #[serde(default)]
    pub(super) private: bool,
}

/// `[datagrams]`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DatagramText {
    pub(super) loss: Range<Share>,
    pub(super) duplicate: Range<Share>,
    pub(super) reorder: Range<Share>,
}

impl Default for DatagramText {
    fn default() -> Self {
        let never = Range::exactly(Share(0.0));
        Self { loss: never, duplicate: never, reorder: never }
    }
}

/// One of `[[hosts]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClassText {
    pub(super) class: Spanned<String>,
    #[serde(default = "one_host")]
    pub(super) count: Spanned<One<Count>>,
    #[serde(default = "engine")]
    pub(super) role: Role,
    #[serde(default)]
    pub(super) has: Option<Spanned<Range<Share>>>,
    #[serde(default = "usual_up")]
    pub(super) up: Range<Speed>,
    #[serde(default = "usual_down")]
    pub(super) down: Range<Speed>,
    #[serde(default = "usual_latency")]
    pub(super) latency: Range<Micros>,
    #[serde(default)]
    pub(super) nat: bool,
    #[serde(default = "at_once")]
    pub(super) arrives: Range<Millis>,
    #[serde(default)]
    pub(super) leaves: Option<Spanned<Range<Millis>>>,
    #[serde(default = "with_metainfo")]
    pub(super) start: Spanned<Start>,
    #[serde(default)]
    pub(super) knows: Option<Spanned<Knows>>,
    #[serde(default)]
    pub(super) tracker: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) disk: DiskText,
    #[serde(default)]
    pub(super) config: BTreeMap<Spanned<String>, Spanned<ConfigText>>,
}

fn one_host() -> Spanned<One<Count>> {
    Spanned::new(0..0, One(Count(1)))
}

fn engine() -> Role {
    Role::Engine
}

fn usual_up() -> Range<Speed> {
    Range::exactly(Speed(1 << 20))
}

fn usual_down() -> Range<Speed> {
    Range::exactly(Speed(4 << 20))
}

fn usual_latency() -> Range<Micros> {
    Range::exactly(Micros(10_000))
}

fn at_once() -> Range<Millis> {
    Range::exactly(Millis(0))
}

fn with_metainfo() -> Spanned<Start> {
    Spanned::new(0..0, Start::Metainfo)
}

impl ClassText {
    /// How many hosts it has.
    pub(super) fn count(&self) -> usize {
        usize::try_from(self.count.get_ref().0.0).unwrap_or(usize::MAX)
    }

    /// Which part of the pieces they have: a corrupter and a liar all, if nothing is said.
    pub(super) fn has(&self) -> Range<Share> {
        let usual = match self.role {
            Role::Engine | Role::Tracker => 0.0,
            Role::Corrupter | Role::Liar => 1.0,
        };
        self.has.as_ref().map_or(Range::exactly(Share(usual)), |has| *has.get_ref())
    }

    /// The configuration that it pins, by key.
    pub(super) fn pinned(&self) -> BTreeMap<String, String> {
        let text = |(key, value): (&Spanned<String>, &Spanned<ConfigText>)| {
            (key.get_ref().clone(), value.get_ref().0.clone())
        };
        self.config.iter().map(text).collect()
    }
}

/// `disk` of a class.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DiskText {
    pub(super) delay: Range<Micros>,
    pub(super) capacity: Option<Range<Size>>,
}

impl Default for DiskText {
    fn default() -> Self {
        Self { delay: Range::exactly(Micros(0)), capacity: None }
    }
}

/// `[faults]`: when they end, and a table for each kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct FaultsText {
    pub(super) until: Spanned<One<Millis>>,
    crash: Option<Spanned<FaultText>>,
    power_cut: Option<Spanned<FaultText>>,
    cut: Option<Spanned<FaultText>>,
    partition: Option<Spanned<FaultText>>,
    unplug: Option<Spanned<FaultText>>,
    slow_link: Option<Spanned<FaultText>>,
    reset: Option<Spanned<FaultText>>,
    disk_full: Option<Spanned<FaultText>>,
    disk_fails: Option<Spanned<FaultText>>,
    disk_slow: Option<Spanned<FaultText>>,
    bit_flip: Option<Spanned<FaultText>>,
    store_fails: Option<Spanned<FaultText>>,
}

impl FaultsText {
    /// The kinds that there are, always in the same order.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (Kind, &Spanned<FaultText>)> {
        let all = [
            (Kind::Crash, &self.crash),
            (Kind::PowerCut, &self.power_cut),
            (Kind::Cut, &self.cut),
            (Kind::Partition, &self.partition),
            (Kind::Unplug, &self.unplug),
            (Kind::SlowLink, &self.slow_link),
            (Kind::Reset, &self.reset),
            (Kind::DiskFull, &self.disk_full),
            (Kind::DiskFails, &self.disk_fails),
            (Kind::DiskSlow, &self.disk_slow),
            (Kind::BitFlip, &self.bit_flip),
            (Kind::StoreFails, &self.store_fails),
        ];
        all.into_iter().filter_map(|(kind, text)| Some((kind, text.as_ref()?)))
    }
}

/// One kind of fault. Which of its parameters it takes is [`Kind::takes`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultText {
    pub(super) per_minute: Range<PerMinute>,
    #[serde(default)]
    pub(super) hosts: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) lasts: Option<Range<Millis>>,
    #[serde(default)]
    pub(super) share: Option<Range<Share>>,
    #[serde(default)]
    pub(super) delay: Option<Range<Micros>>,
    #[serde(default)]
    pub(super) bits: Option<Range<Count>>,
    #[serde(default)]
    pub(super) one_way: Option<One<Share>>,
}

impl FaultText {
    /// The parameters that are given and that not every kind takes.
    pub(super) fn given(&self) -> impl Iterator<Item = &'static str> {
        let all = [
            ("lasts", self.lasts.is_some()),
            ("share", self.share.is_some()),
            ("delay", self.delay.is_some()),
            ("bits", self.bits.is_some()),
            ("one_way", self.one_way.is_some()),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name)
    }

    /// Whether it may hit hosts of `class`.
    pub(super) fn hits(&self, class: &str) -> bool {
        self.hosts.as_ref().is_none_or(|only| only.iter().any(|name| name.get_ref() == class))
    }
}

/// `[expect]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectText {
    pub(super) complete_within: Spanned<One<Millis>>,
    #[serde(default)]
    pub(super) not_complete: Vec<Spanned<String>>,
    #[serde(default = "any_multiple")]
    pub(super) sent_ratio_max: One<Multiple>,
    #[serde(default)]
    pub(super) must_reach: Vec<Spanned<String>>,
}

fn any_multiple() -> One<Multiple> {
    One(Multiple(0.0))
}

/// Whose addresses a host is given: `"everyone"`, a class, some of a class, or a list of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Knows(pub(super) Vec<Known>);

/// A class, or so many of its hosts, drawn at random.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) class: String,
    pub(super) count: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SomeOfClass {
    class: String,
    count: One<Count>,
}

struct KnownVisitor;

impl<'de> Visitor<'de> for KnownVisitor {
    type Value = Known;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"everyone\", a class, or { class = CLASS, count = NUMBER }")
    }

    fn visit_str<E: Error>(self, class: &str) -> Result<Known, E> {
        Ok(Known { class: class.to_owned(), count: None })
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Known, M::Error> {
        let SomeOfClass { class, count: One(count) } =
            SomeOfClass::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Known { class, count: usize::try_from(count.0).ok() })
    }
}

impl<'de> Deserialize<'de> for Known {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KnownVisitor)
    }
}

struct KnowsVisitor;

impl<'de> Visitor<'de> for KnowsVisitor {
    type Value = Knows;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"everyone\", a class, { class = CLASS, count = NUMBER }, or a list of these")
    }

    fn visit_str<E: Error>(self, class: &str) -> Result<Knows, E> {
        KnownVisitor.visit_str(class).map(|known| Knows(vec![known]))
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Knows, M::Error> {
        KnownVisitor.visit_map(map).map(|known| Knows(vec![known]))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Knows, S::Error> {
        let mut all = Vec::new();
        while let Some(known) = seq.next_element()? {
            all.push(known);
        }
        Ok(Knows(all))
    }
}

impl<'de> Deserialize<'de> for Knows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KnowsVisitor)
    }
}

/// A value of the engine's configuration, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConfigText(pub(super) String);

struct ConfigVisitor;

impl<'de> Visitor<'de> for ConfigVisitor {
    type Value = ConfigText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of the configuration: a text, a number, true or false, or a list")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ConfigText, E> {
        Ok(ConfigText(text.to_owned()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<ConfigText, E> {
        Ok(ConfigText(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<ConfigText, E> {
        Ok(ConfigText(number.to_string()))
    }

    fn visit_bool<E: Error>(self, word: bool) -> Result<ConfigText, E> {
        Ok(ConfigText(word.to_string()))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<ConfigText, S::Error> {
        let mut all = Vec::new();
        while let Some(ConfigText(one)) = seq.next_element()? {
            all.push(one);
        }
        Ok(ConfigText(all.join(",")))
    }

    fn visit_map<M: MapAccess<'de>>(self, _map: M) -> Result<ConfigText, M::Error> {
        Err(Error::custom(
            "expected a whole key in quotes, as in \"engine.choker.upload_slots\" = 4",
        ))
    }
}

impl<'de> Deserialize<'de> for ConfigText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ConfigVisitor)
    }
}
