//! What a column is called and means; and the columns that are no figures.

/// The names, the unit and the meaning of a column.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Its name in JSON, the unit last.
    pub key: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// The unit of its values.
    pub unit: &'static str,
    /// Its meaning, in a sentence or two; also the tooltip of its head.
    pub meaning: &'static str,
}

/// How a scenario’s table begins: the tier.
pub static TIER: Head = Head {
    key: "tier",
    title: "Tier",
    unit: "",
    meaning: "1 is best. The leader of each tier is significantly worse than the leader of the \
              tier above; within a tier nothing is ranked, whatever the medians say. Differences \
              below the noise floor never separate tiers.",
};

/// The implementation.
pub static IMPLEMENTATION: Head = Head {
    key: "implementation",
    title: "Implementation",
    unit: "",
    meaning: "Its name, which leads to its page, and its style.",
};

/// The interval, drawn.
pub static INTERVAL: Head = Head {
    key: "interval",
    title: "Interval",
    unit: "",
    meaning: "Median and 95 % interval of the figure that ranks, on one logarithmic scale per \
              scenario.",
};

/// The ratio to the best.
pub static TO_BEST: Head = Head {
    key: "relative",
    title: "To best",
    unit: "ratio",
    meaning: "Ratio of the figure that ranks to the best one.",
};

/// How many trials count.
pub static VALID_TRIALS: Head = Head {
    key: "valid_trials",
    title: "Valid trials",
    unit: "trials",
    meaning: "Trials with the verdict VALID, of all trials.",
};

/// Which runs the trials come from.
pub static RUNS: Head = Head {
    key: "runs",
    title: "Runs",
    unit: "",
    meaning: "Runs that the trials come from; only in a report of several runs.",
};
