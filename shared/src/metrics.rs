//! The metrics of a binary as one struct: the doc comment of a field is the help text of its metric.
//!
//! [`metrics!`](crate::metrics!) declares the struct. Each binary pins its names, types and labels by a test, because
//! dashboards and alerts rely on them.

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// What the reference documentation says about a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name in the exposition.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels, without those that all metrics of the registry have.
    pub labels: &'static [&'static str],
    /// Its help text.
    pub help: &'static str,
}

/// A type of metric that [`metrics!`](crate::metrics!) can declare.
pub trait Family: Collector + Clone + Sized {
    /// Its type in the exposition.
    const KIND: &'static str;

    /// Creates it. Types without labels or without buckets ignore them.
    ///
    /// # Errors
    /// If `name` or a label is not valid, or the buckets do not ascend.
    fn family(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> prometheus::Result<Self>;
}

impl Family for IntCounter {
    const KIND: &'static str = "counter";

    fn family(name: &str, help: &str, _: &[&str], _: &[f64]) -> prometheus::Result<Self> {
        Self::new(name, help)
    }
}

impl Family for IntCounterVec {
    const KIND: &'static str = "counter";

    fn family(name: &str, help: &str, labels: &[&str], _: &[f64]) -> prometheus::Result<Self> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Family for IntGauge {
    const KIND: &'static str = "gauge";

    fn family(name: &str, help: &str, _: &[&str], _: &[f64]) -> prometheus::Result<Self> {
        Self::new(name, help)
    }
}

impl Family for IntGaugeVec {
    const KIND: &'static str = "gauge";

    fn family(name: &str, help: &str, labels: &[&str], _: &[f64]) -> prometheus::Result<Self> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Family for Gauge {
    const KIND: &'static str = "gauge";

    fn family(name: &str, help: &str, _: &[&str], _: &[f64]) -> prometheus::Result<Self> {
        Self::new(name, help)
    }
}

impl Family for Histogram {
    const KIND: &'static str = "histogram";

    fn family(name: &str, help: &str, _: &[&str], buckets: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
    }
}

/// All metrics of a registry in the Prometheus text format.
///
/// # Panics
/// Never: gathered families are complete, and writing to a `String` cannot fail.
#[must_use]
pub fn render(registry: &Registry) -> String {
    let mut text = String::new();
    TextEncoder::new()
        .encode_utf8(&registry.gather(), &mut text)
        .expect("gathered families are complete, and writing to a String cannot fail");
    text
}

/// Declares a struct of metrics, registered in a registry of their own.
///
/// ```
/// shared::metrics! {
///     /// The metrics of an oven.
///     pub struct Metrics {
///         /// Loaves by outcome: baked or burnt.
///         loaves: prometheus::IntCounterVec = "oven_loaves_total", ["outcome"];
///         /// Seconds that a loaf took.
///         seconds: prometheus::Histogram = "oven_seconds", [], SECONDS;
///     }
/// }
/// const SECONDS: &[f64] = &[600.0, 1200.0];
///
/// let metrics = Metrics::register(prometheus::Registry::new()).unwrap();
/// metrics.loaves.with_label_values(&["baked"]).inc();
/// assert!(metrics.render().contains("oven_loaves_total{outcome=\"baked\"} 1\n"));
/// assert_eq!(Metrics::ALL[1].help, "Seconds that a loaf took.");
/// ```
#[macro_export]
macro_rules! metrics {
    (
        $(#[$outer:meta])*
        $vis:vis struct $name:ident {
            $($(#[doc = $help:literal])+ $field:ident: $type:ty = $metric:literal, [$($label:literal),*] $(, $buckets:ident)?;)+
        }
    ) => {
        $(#[$outer])*
        #[derive(Debug)]
        $vis struct $name {
            registry: ::prometheus::Registry,
            $($(#[doc = $help])+ $vis $field: $type,)+
        }

        impl $name {
            /// The metrics of the struct, without others of its registry.
            $vis const ALL: &[$crate::metrics::Described] = &[$($crate::metrics::Described {
                name: $metric,
                kind: <$type as $crate::metrics::Family>::KIND,
                labels: &[$($label),*],
                help: concat!($($help),+).trim_ascii(),
            }),+];

            /// Creates and registers every metric.
            ///
            /// # Errors
            /// If a declaration is not valid, or `registry` has a metric of this name.
            $vis fn register(registry: ::prometheus::Registry) -> ::prometheus::Result<Self> {
                $(
                    let buckets: &[&[f64]] = &[$($buckets)?];
                    let buckets = buckets.first().copied().unwrap_or_default();
                    let help = concat!($($help),+).trim_ascii();
                    let $field =
                        <$type as $crate::metrics::Family>::family($metric, help, &[$($label),*], buckets)?;
                    registry.register(Box::new($field.clone()))?;
                )+
                Ok(Self { registry, $($field),+ })
            }

            /// All metrics in the Prometheus text format.
            #[must_use]
            $vis fn render(&self) -> String {
                $crate::metrics::render(&self.registry)
            }
        }
    };
}
