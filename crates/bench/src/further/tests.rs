//! The proof that looking makes no false differences, and finds true ones, with simulated servers.

use rand::RngExt;
use zillions_report::bounded::{Bound, Bounded};
use zillions_report::noise::NoiseFloor;
use zillions_report::statistics::{Estimate, estimate_ratio, tiers};
use zillions_report::told_apart::{interval, ties};
use zillions_testing::runs_all;

use super::*;
use crate::scenario::Scenario;

/// The share of simulated trials that the machine disturbs.
const DISTURBED: f64 = 0.15;
/// What a trial takes.
const TRIAL: Duration = Duration::from_millis(750);

/// How the logarithm of a figure varies from trial to trial.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// As sums of many small causes do.
    Normal,
    /// Now and then very far off.
    HeavyTailed,
    /// A process is either quick or slow.
    TwoModes,
}

#[derive(Clone, Copy, Debug)]
struct Server {
    median: f64,
    spread: f64,
    shape: Shape,
}

impl Server {
    fn trial(&self, random: &mut ChaCha8Rng) -> f64 {
        let mut normal = || {
            let (a, b): (f64, f64) = (random.random_range(1e-12..1.0), random.random());
            (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
        };
        let deviation = match self.shape {
            Shape::Normal => normal(),
            // Student's t with two degrees of freedom.
            Shape::HeavyTailed => {
                normal() / f64::midpoint(normal().powi(2), normal().powi(2)).sqrt()
            }
            Shape::TwoModes => 0.2 * normal() + 3.0 * f64::from(normal() > 0.25),
        };
        self.median * (deviation * self.spread).exp()
    }
}

/// A whole run over simulated servers: everything but the servers is the code of real runs.
struct Simulation {
    servers: Vec<Server>,
    /// Whether the noise floor is known; if not, intervals alone decide.
    has_floor: bool,
    seed: u64,
    samples: HashMap<Arm, Vec<Bounded>>,
}

impl Simulation {
    fn new(servers: &[Server], has_floor: bool, seed: u64) -> Self {
        Self { servers: servers.to_vec(), has_floor, seed, samples: HashMap::new() }
    }

    /// The tiers in the end, and the trials that it took.
    fn run(mut self, budget: Duration) -> (Vec<usize>, Vec<PlannedTrial>) {
        let mut scenarios = [scenario()];
        leave_open(&mut scenarios);
        let targets = self.servers.len();
        let mut random = ChaCha8Rng::seed_from_u64(self.seed.wrapping_mul(31));
        let mut planner = Planner::new(&scenarios, targets, false, self.seed, Some(budget));
        let mut trials = Vec::new();
        while let Some(trial) = planner.next_trial(|_| self.look().1) {
            let disturbed = random.random_bool(DISTURBED);
            let target = trial.target.unwrap();
            if !disturbed {
                let arm = Arm { scenario: trial.scenario, target, role: trial.role };
                let figure = self.servers[target].trial(&mut random);
                self.samples.entry(arm).or_default().push(figure.into());
            }
            planner.ended(&trial, disturbed, TRIAL);
            trials.push(trial);
        }
        (self.look().0, trials)
    }

    fn arm(&self, target: usize, role: Role) -> &[Bounded] {
        self.samples.get(&Arm { scenario: 0, target, role }).map_or(&[], Vec::as_slice)
    }

    /// The tiers, and the ties, by what has been measured.
    fn look(&self) -> (Vec<usize>, Vec<Tie<usize>>) {
        let better = |a: f64, b: f64| a > b;
        let figure = |at| interval(self.arm(at, Role::Measure), LOOKS_MAX);
        // A target that is disturbed in every trial is not ranked.
        let empty = Estimate { median: 1.0, low: 0.0, high: 9e9, samples: 0, bound: Bound::Exact };
        let figures: Vec<_> =
            (0..self.servers.len()).map(|at| figure(at).unwrap_or(empty)).collect();
        let floor = self.noise_factor();
        let tiers = tiers(&figures, floor, better);
        let ties = ties(&figures, &tiers, floor, better);
        (tiers, ties)
    }

    fn noise_factor(&self) -> f64 {
        let Some(twin) = plan::twin(self.servers.len(), self.seed).filter(|_| self.has_floor)
        else {
            return 1.0;
        };
        let (first, second) = (self.arm(twin, Role::Measure), self.arm(twin, Role::Twin));
        estimate_ratio(second, first, self.seed)
            .map_or(1.0, |ratio| NoiseFloor { target: String::new(), ratio }.factor())
    }
}

fn scenario() -> ScenarioRecord {
    Scenario::find("one-to-many").unwrap().record(false)
}

fn server(median: f64, spread: f64, shape: Shape) -> Server {
    Server { median, spread, shape }
}

/// So much that the planner goes through all its looks.
const PLENTY: Duration = Duration::from_secs(3_600);

/// The share of `runs` runs over equal servers in which any two of them are told apart.
fn false_separations(servers: &[Server], has_floor: bool, runs: u64) -> f64 {
    let apart = |&seed: &u64| {
        let (tiers, _) = Simulation::new(servers, has_floor, seed).run(PLENTY);
        tiers.iter().any(|&tier| tier > 1)
    };
    (0..runs).filter(apart).count() as f64 / runs as f64
}

/// Sets of servers with one and the same median.
fn equal_servers() -> Vec<Vec<Server>> {
    let mut sets = Vec::new();
    for number in [2, 6, 14] {
        for shape in [Shape::Normal, Shape::HeavyTailed, Shape::TwoModes] {
            sets.push(vec![server(1e6, 0.15, shape); number]);
        }
        // Some of them vary three times as much as the others.
        let spread = |at| if at % 2 == 0 { 0.1 } else { 0.3 };
        sets.push((0..number).map(|at| server(1e6, spread(at), Shape::Normal)).collect());
    }
    sets
}

#[test]
fn equal_servers_are_told_apart_in_less_than_one_run_of_twenty() {
    // With the noise floor less is told apart, so without it is the harder proof, and the cheaper.
    let runs = if runs_all() { 1_000 } else { 170 };
    for servers in equal_servers() {
        let share = false_separations(&servers, false, runs);
        assert!(share <= 0.05, "{} × {:?}: {share} of {runs}", servers.len(), servers[0]);
    }
}

#[test]
fn equal_servers_are_told_apart_as_rarely_with_a_noise_floor() {
    let runs = if runs_all() { 4 } else { 1 };
    let sets = equal_servers();
    let shares = sets.iter().map(|servers| false_separations(servers, true, runs));
    let share = shares.sum::<f64>() / sets.len() as f64;
    assert!(share <= 0.05, "{share} of {runs} × {}", sets.len());
    // Spreads of one to fifteen: five trials of the one are on one side of the median of the other
    // in 2 of 2⁵ cases; the noise floor, that of the one or that of the other, keeps half of them.
    let servers = [server(1e6, 0.02, Shape::Normal), server(1e6, 0.3, Shape::Normal)];
    let runs = if runs_all() { 100 } else { 20 };
    let share = false_separations(&servers, true, runs);
    assert!(share <= 0.05, "{share} of {runs}");
}

#[test]
fn true_differences_are_found_where_five_trials_do_not_show_them() {
    let servers = [1.0, 0.75, 0.2].map(|it| server(it * 1e6, 0.15, Shape::Normal));
    let found = |budget| {
        let simulations = (0..12).map(|seed| Simulation::new(&servers, true, seed).run(budget));
        simulations.filter(|(tiers, _)| tiers[..] == [1, 2, 3]).count()
    };
    let (first, more) = (found(Duration::ZERO), found(PLENTY));
    assert!(first <= 6, "{first} of 12 by the first blocks alone");
    assert!(more >= 10, "{more} of 12");
}

#[test]
fn further_trials_go_where_tiers_are_not_separated() {
    let servers = [1.0, 0.75, 0.02, 0.001].map(|it| server(it * 1e6, 0.12, Shape::Normal));
    for seed in 0..10 {
        let (_, trials) = Simulation::new(&servers, false, seed).run(PLENTY);
        let number = |target| {
            trials.iter().filter(|it| it.target == Some(target) && it.role == Role::Measure).count()
        };
        let twin = plan::twin(4, seed).unwrap();
        for apart in [2, 3].into_iter().filter(|&it| it != twin) {
            // Five, and those that were disturbed again.
            assert!(number(apart) <= 10, "{} trials of what is far away", number(apart));
        }
        let keys: std::collections::HashSet<_> =
            trials.iter().map(|it| (it.target, it.role, it.block)).collect();
        assert_eq!(keys.len(), trials.len(), "each trial of an arm has a number of its own");
    }
}

#[test]
fn a_budget_is_kept_and_the_same_answers_lead_to_the_same_trials() {
    let servers = vec![server(1e6, 0.15, Shape::Normal); 6];
    let first = first_blocks(&[scenario()], 6, false);
    for seconds in [0, 1, 5, 30] {
        let budget = first + Duration::from_secs(seconds);
        let run = || Simulation::new(&servers, false, 7).run(budget).1;
        let trials = run();
        assert!(TRIAL * trials.len() as u32 <= budget, "{} trials", trials.len());
        assert_eq!(trials, run());
        let orders: Vec<usize> = trials.iter().map(|it| it.order).collect();
        assert_eq!(orders, (0..trials.len()).collect::<Vec<_>>());
    }
}

/// The trials of a run in which every trial is disturbed, or takes as long as `took`.
fn trials_of(budget: Option<Duration>, disturbed: bool, took: Duration) -> usize {
    let mut scenarios = [scenario()];
    leave_open(&mut scenarios);
    let mut planner = Planner::new(&scenarios, 2, true, 1, budget);
    let mut number = 0;
    while let Some(trial) = planner.next_trial(|_| Vec::new()) {
        planner.ended(&trial, disturbed, took);
        number += 1;
        assert!(planner.planned() >= number);
    }
    assert_eq!(planner.planned(), number);
    number
}

#[test]
fn disturbed_trials_are_repeated_within_a_bound_and_never_without_a_budget() {
    let first = 5 * (2 + 1 + 1);
    assert_eq!(trials_of(None, true, TRIAL), first);
    assert_eq!(trials_of(Some(PLENTY), false, TRIAL), first);
    // As many again of each arm; a limit has no further trials.
    assert_eq!(trials_of(Some(PLENTY), true, TRIAL), first + 5 * 3);
    // Trials that take longer than was estimated end the run, but not its first blocks.
    assert_eq!(trials_of(Some(TRIAL * 22), true, TRIAL), 22);
    assert_eq!(trials_of(Some(TRIAL * 22), true, TRIAL * 9), first);
}

#[test]
fn a_scenario_of_few_blocks_and_a_search_are_measured_as_they_say() {
    let mut few = scenario();
    few.repeats = FIRST_BLOCKS_MIN - 1;
    let mut scenarios = [few, Scenario::find("capacity").unwrap().record(false), scenario()];
    leave_open(&mut scenarios);
    assert_eq!(scenarios.map(|it| it.looks_max), [1, 1, LOOKS_MAX]);
}

#[test]
fn a_budget_leaves_out_blocks_and_is_refused_if_not_one_fits() {
    let fitted = |seconds: f64| {
        let mut scenarios = [scenario(), Scenario::find("capacity").unwrap().record(false)];
        leave_open(&mut scenarios);
        let fit = fit(&mut scenarios, 2, false, Duration::from_secs_f64(seconds));
        fit.map(|()| (scenarios[0].repeats, scenarios[0].looks_max))
    };
    // A block is three trials of 0.75 s.
    assert_eq!(plan::duration(&scenario(), Role::Measure), TRIAL);
    assert_eq!(fitted(100.0), Ok((5, LOOKS_MAX)));
    assert_eq!(fitted(9.1), Ok((4, 1)));
    let error = fitted(1.9).unwrap_err().to_string();
    assert!(error.starts_with("a budget of 1 s is too short for one block: "), "{error}");
    assert!(error.contains("of each of 2 targets") && error.contains("take 3 s"), "{error}");
}
