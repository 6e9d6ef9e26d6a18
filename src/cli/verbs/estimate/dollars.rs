//! US dollars without rounding: a sum is exact however small its parts are, and is rounded once, where it is shown.
//!
//! Knows what a price is, and no particular price.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::decimal;

/// Parts of a nano-dollar. Every unit that has a price divides it.
const PARTS: u128 = CPU_SECOND * GIB_SECOND / 1000;

/// A vCPU-second in thousandths of a vCPU times milliseconds.
pub(super) const CPU_SECOND: u128 = 1000 * 1000;

/// A GiB-second in bytes times milliseconds.
pub(super) const GIB_SECOND: u128 = 1024 * 1024 * 1024 * 1000;

/// The price of one unit, in nano-dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Price(u128);

/// An amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dollars {
    parts: u128,
}

impl Price {
    /// The cost of what was used, of which `unit` has this price. Nothing when that is beyond all sums.
    pub(super) fn cost(self, used: u128, unit: u128) -> Option<Dollars> {
        let parts = used.checked_mul(self.0)?.checked_mul(PARTS / unit)?;
        Some(Dollars { parts })
    }

    /// In full.
    pub(super) fn exact(self) -> String {
        decimal::quotient(self.0, decimal::ONE, 2, 9)
    }
}

impl Dollars {
    pub(super) fn plus(self, other: Self) -> Option<Self> {
        Some(Self { parts: self.parts.checked_add(other.parts)? })
    }

    /// What is left of it, at least nothing.
    pub(super) fn less(self, other: Self) -> Self {
        Self { parts: self.parts.saturating_sub(other.parts) }
    }

    /// To the cent, for people.
    pub(super) fn cents(self) -> String {
        format!("${}", decimal::quotient(self.parts, PARTS * decimal::ONE, 2, 2))
    }
}

/// To the nano-dollar, for programs: a string, since many of them read numbers as floating point.
impl Serialize for Dollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&decimal::quotient(self.parts, PARTS * decimal::ONE, 2, 9))
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.exact())
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom("expected US dollars as a string such as \"0.000018\", not finer than 1e-9");
        decimal::billionths(&text).map(Self).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_divides_the_parts() {
        assert_eq!((PARTS % CPU_SECOND, PARTS % GIB_SECOND), (0, 0));
    }

    #[test]
    fn a_sum_of_small_costs_is_not_a_cent_off() {
        // 0.0024999 and 0.0025001 are half a cent together, and nothing when each is rounded by itself.
        let price = Price(1);
        let (less, more) = (price.cost(2_499_900, 1), price.cost(2_500_100, 1));
        let sum = less.zip(more).and_then(|(less, more)| less.plus(more)).expect("small");
        assert_eq!(sum.cents(), "$0.01");
    }

    #[test]
    fn what_is_too_large_is_no_amount() {
        assert_eq!(Price(u128::MAX).cost(2, CPU_SECOND), None);
        assert_eq!(Price(1).cost(u128::MAX, CPU_SECOND), None);
    }
}
