//! The price table: what a second costs in which region, by which source and when.
//!
//! Knows the file and how to say what is wrong with it. The table in the program is `prices.json`, and `--prices` reads
//! another one in the same format. A region that is not in it has no price: none is derived from its neighbours.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_path_to_error::Track;
use strsim::levenshtein;
use time::{Date, format_description::well_known::Iso8601};

use super::dollars::Price;
use crate::cli::{failure::Failure, flags::file};

const BUILT_IN: &str = include_str!("prices.json");

/// Larger files are refused before they are read.
const LARGEST: usize = 1024 * 1024;

/// Names that differ from what was asked for by more letters are not said to be near.
const NEAR: usize = 3;

/// A table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Prices {
    /// When the source said so.
    #[serde(deserialize_with = "date")]
    pub(super) date: String,
    pub(super) source: String,
    /// What each task is billed for at least.
    pub(super) least_millis: u64,
    /// What its time is rounded up to.
    #[serde(deserialize_with = "step")]
    pub(super) step_millis: u64,
    free_tier: FreeTier,
    tiers: Vec<Tier>,
    /// Why the price of a region may be wrong.
    #[serde(default)]
    doubts: BTreeMap<String, String>,
}

/// What each billing account has free in a month: as much money as this costs in that tier.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FreeTier {
    vcpu_seconds: u64,
    gib_seconds: u64,
    at_prices_of: String,
}

/// Regions with the same prices.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Tier {
    name: String,
    usd_per_vcpu_second: Price,
    usd_per_gib_second: Price,
    /// Why its prices may be wrong.
    #[serde(default)]
    doubt: Option<String>,
    regions: Vec<String>,
}

/// What a region costs.
#[derive(Debug)]
pub(super) struct Rates<'a> {
    pub(super) tier: &'a str,
    pub(super) cpu: Rate,
    pub(super) memory: Rate,
    /// Why the prices may be wrong.
    pub(super) doubts: Vec<&'a str>,
}

/// The price of a second, and how many seconds are free at which price.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) price: Price,
    pub(super) free_seconds: u64,
    pub(super) free_price: Price,
}

impl Prices {
    /// The table of this file, else the one in the program.
    pub(super) fn read(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Self::parse(BUILT_IN).map_err(|what| Failure::usage(format!("the program's own prices: {what}")));
        };
        let unusable = |what: String| Failure::usage(format!("--prices: {}: {what}", path.display()));
        let text = file::read(path, LARGEST).map_err(|error| unusable(error.to_string()))?;
        Self::parse(&text).map_err(unusable)
    }

    /// What a region costs; where that is not known, the regions whose names are near, or all.
    pub(super) fn rates(&self, region: &str) -> Result<Rates<'_>, Vec<&str>> {
        let found = self.tiers.iter().find(|tier| tier.regions.iter().any(|known| known == region));
        let (tier, free) = found.zip(self.free_prices()).ok_or_else(|| self.near(region))?;
        let doubts = tier.doubt.iter().chain(self.doubts.get(region));
        Ok(Rates {
            tier: &tier.name,
            cpu: Rate {
                price: tier.usd_per_vcpu_second,
                free_seconds: self.free_tier.vcpu_seconds,
                free_price: free.usd_per_vcpu_second,
            },
            memory: Rate {
                price: tier.usd_per_gib_second,
                free_seconds: self.free_tier.gib_seconds,
                free_price: free.usd_per_gib_second,
            },
            doubts: doubts.map(String::as_str).collect(),
        })
    }

    fn free_prices(&self) -> Option<&Tier> {
        self.tiers.iter().find(|tier| tier.name == self.free_tier.at_prices_of)
    }

    fn regions(&self) -> impl Iterator<Item = &str> {
        self.tiers.iter().flat_map(|tier| tier.regions.iter().map(String::as_str))
    }

    fn near(&self, wanted: &str) -> Vec<&str> {
        let mut all: Vec<_> = self.regions().map(|region| (levenshtein(wanted, region), region)).collect();
        all.sort_unstable();
        let nearest = all.first().map_or(0, |(distance, _)| *distance);
        if nearest <= NEAR {
            all.retain(|(distance, _)| *distance == nearest);
        }
        all.into_iter().map(|(_, region)| region).collect()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut track = Track::new();
        let mut json = serde_json::Deserializer::from_str(text);
        let parsed = Self::deserialize(serde_path_to_error::Deserializer::new(&mut json, &mut track));
        let prices = parsed.map_err(|error| match track.path().to_string().as_str() {
            "." | "?" => error.to_string(),
            path => format!("{path}: {error}"),
        })?;
        json.end().map_err(|error| error.to_string())?;
        prices.check()?;
        Ok(prices)
    }

    /// Refuses a table that contradicts itself.
    fn check(&self) -> Result<(), String> {
        if self.free_prices().is_none() {
            return Err(format!("freeTier.atPricesOf: there is no tier '{}'", self.free_tier.at_prices_of));
        }
        let (mut names, mut tier_of) = (BTreeSet::new(), BTreeMap::new());
        for Tier { name, regions, .. } in &self.tiers {
            if !names.insert(name) {
                return Err(format!("tiers: there are two tiers '{name}'"));
            }
            for region in regions {
                if let Some(other) = tier_of.insert(region, name) {
                    return Err(format!("tiers: '{region}' is in tier '{name}' and in tier '{other}'"));
                }
            }
        }
        match self.doubts.keys().find(|region| !tier_of.contains_key(region)) {
            Some(region) => Err(format!("doubts: '{region}' is in no tier")),
            None => Ok(()),
        }
    }
}

fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if Date::parse(&text, &Iso8601::DATE).is_ok() {
        return Ok(text);
    }
    Err(D::Error::custom("expected a date such as \"2025-08-19\""))
}

fn step<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match u64::deserialize(deserializer)? {
        0 => Err(D::Error::custom("expected 1 or more")),
        step => Ok(step),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_own_table_is_whole() {
        let prices = Prices::parse(BUILT_IN).expect("it is good");
        assert_eq!((prices.regions().count(), prices.least_millis, prices.step_millis), (43, 60_000, 100));
        for (region, tier, cpu, doubts) in [
            ("asia-northeast1", "1", "0.000018", 0),
            ("asia-south1", "1", "0.000018", 1),
            ("asia-northeast3", "2", "0.0000216", 1),
        ] {
            let rates = prices.rates(region).expect(region);
            assert_eq!((rates.tier, rates.cpu.price.exact().as_str(), rates.doubts.len()), (tier, cpu, doubts));
            assert_eq!(rates.cpu.free_price.exact(), "0.000018");
        }
    }

    #[test]
    fn a_region_without_a_price_has_near_names_or_all() {
        let prices = Prices::parse(BUILT_IN).expect("it is good");
        let near = |region| prices.rates(region).expect_err(region);
        assert_eq!(near("us-east7"), ["us-east1", "us-east4", "us-east5"]);
        assert_eq!(near("asia-northest1"), ["asia-northeast1"]);
        assert_eq!(near("moon").len(), 43);
    }

    #[test]
    fn an_error_says_where_in_the_table_it_is() {
        let cases = [
            ("\"0.000018\"", "0.000018", ["tiers[0].usdPerVcpuSecond", "expected a string"]),
            ("\"0.000018\"", "\"1e-6\"", ["tiers[0].usdPerVcpuSecond", "such as \"0.000018\""]),
            ("\"2025-08-19\"", "\"August\"", ["date", "such as \"2025-08-19\""]),
            ("\"2025-08-19\"", "\"2025-02-30\"", ["date", "such as \"2025-08-19\""]),
            ("\"stepMillis\": 100", "\"stepMillis\": 0", ["stepMillis", "line 5"]),
            ("\"doubts\"", "\"doubt\"", ["doubt", "unknown field"]),
            ("\"atPricesOf\": \"1\"", "\"atPricesOf\": \"3\"", ["freeTier.atPricesOf", "no tier '3'"]),
            ("\"us-west2\"", "\"us-west1\"", ["tiers", "'us-west1' is in tier '2' and in tier '1'"]),
            ("\"asia-south1\": ", "\"asia-south9\": ", ["doubts", "'asia-south9' is in no tier"]),
            ("\"name\": \"2\"", "\"name\": \"1\"", ["tiers", "two tiers '1'"]),
        ];
        for (from, to, expected) in cases {
            let error = Prices::parse(&BUILT_IN.replacen(from, to, 1)).expect_err(to);
            assert!(expected.iter().all(|part| error.contains(part)), "{to}: {error}");
        }
        assert!(Prices::parse(&format!("{BUILT_IN} x")).is_err());
        assert!(Prices::parse(&"[".repeat(100_000)).is_err());
    }
}
