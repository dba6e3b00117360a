//! Where everything in the family tree goes.
//!
//! The picture is narrow and tall, so that it needs not be shrunk much on a telephone: what
//! suspends are rows over its full width, what schedules are branches of those, styles are leaves.

use super::places::{FastSender, FullQueue, Place, Scheduler, Suspender};

/// Width of the picture, in pixels.
pub(super) const WIDTH: f64 = 500.0;
/// Width and height of a mark.
pub(super) const HEIGHT_OF_MARK: f64 = 11.0;

const MARGIN: f64 = 12.0;
/// Where the two lines of branches are, and how far the texts are behind them.
const TRUNK: f64 = 22.0;
const LIMB: f64 = 38.0;
const TWIG: f64 = 10.0;
/// The columns of a style: its box, its name in that, its marks.
const BOX: [f64; 2] = [LIMB + TWIG, 260.0];
pub(super) const STYLE_LEFT: f64 = BOX[0] + 8.0;
const MARK_LEFT: f64 = 268.0;
const DROPS_LEFT: f64 = 391.0;
/// Where the legend says what a mark means.
const MEANING_LEFT: f64 = 140.0;

/// Heights of rows, and of the gap above a row of what suspends.
const SUSPENDER_ROW: f64 = 30.0;
const SCHEDULER_ROW: f64 = 28.0;
const STYLE_ROW: f64 = 29.0;
const LEGEND_ROW: f64 = 23.0;
const GAP: f64 = 14.0;
/// From the middle of a row to the base line of its text.
const TO_BASE_LINE: f64 = 5.0;

/// Left, top, right, bottom.
pub(super) type Rectangle = [f64; 4];

/// Kinds of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Title,
    Strong,
    Style,
    Plain,
    Soft,
}

impl Kind {
    /// Its class in the picture's style sheet.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Strong => "strong",
            Self::Style => "style",
            Self::Plain => "plain",
            Self::Soft => "soft",
        }
    }
}

/// Words that start there; `y` is the base line.
pub(super) struct Text {
    pub(super) kind: Kind,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) words: &'static str,
    /// What follows on the same line as plain text; wherever the first ends in the reader's font.
    pub(super) more: &'static str,
}

/// Shapes that stand for a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Full,
    Diamond,
    Vessel,
}

/// The tree, with everything at its place.
pub(super) struct Layout {
    pub(super) height: f64,
    pub(super) boxes: Vec<Rectangle>,
    pub(super) texts: Vec<Text>,
    /// Each with its left upper corner.
    pub(super) marks: Vec<(Mark, f64, f64)>,
    /// The lines of the tree, as the data of a path.
    pub(super) branches: String,
}

const SUSPENDERS: [Suspender; 5] = [
    Suspender::Nobody,
    Suspender::Program,
    Suspender::Compiler,
    Suspender::Runtime,
    Suspender::Kernel,
];

const SCHEDULERS: [Scheduler; 5] = [
    Scheduler::OwnLoop,
    Scheduler::EventLoop,
    Scheduler::TimeSlices,
    Scheduler::Pool,
    Scheduler::Kernel,
];

/// Who suspends, and how.
fn suspender_words(suspender: Suspender) -> [&'static str; 2] {
    match suspender {
        Suspender::Nobody => ["Nobody suspends:", "code returns, and never waits"],
        Suspender::Program => ["The program, by hand:", "it keeps the rest as a value"],
        Suspender::Compiler => ["The compiler:", "a function, where it says so"],
        Suspender::Runtime => ["A runtime or library:", "a stack, in any call"],
        Suspender::Kernel => ["The kernel:", "a thread, in any call"],
    }
}

fn scheduler_words(scheduler: Scheduler) -> &'static str {
    match scheduler {
        Scheduler::OwnLoop => "scheduled by a loop of the program’s own",
        Scheduler::EventLoop => "scheduled by an event loop",
        Scheduler::TimeSlices => "scheduled by a clock, on one thread",
        Scheduler::Pool => "scheduled on a pool of threads",
        Scheduler::Kernel => "scheduled by the kernel, preemptively",
    }
}

fn sender_words(sender: FastSender) -> (Mark, &'static str, &'static str) {
    match sender {
        FastSender::BlockingCall => {
            (Mark::Full, "blocking call", "it waits: in a send, for a lock, at an entry")
        }
        FastSender::Demand => {
            (Mark::Diamond, "demand", "it has credit for so many, and sends no more")
        }
        FastSender::KernelBuffers => {
            (Mark::Vessel, "kernel buffers", "nobody reads what it sends until its turn")
        }
    }
}

fn queue_words(queue: FullQueue) -> &'static str {
    match queue {
        FullQueue::DropsNewest => "drops newest",
        FullQueue::DropsOldest => "drops oldest",
    }
}

impl Layout {
    /// The tree of `places`.
    pub(super) fn of(places: &[Place]) -> Self {
        let mut layout = Self {
            height: 36.0,
            boxes: Vec::new(),
            texts: Vec::new(),
            marks: Vec::new(),
            branches: String::new(),
        };
        layout.text(Kind::Title, MARGIN, "Who suspends, who schedules?");
        layout.height += 26.0;
        layout.text(Kind::Soft, MARGIN, "And what stops a client that sends too fast,");
        layout.height += 20.0;
        layout.text(Kind::Soft, MARGIN, "or is behind one that reads too slowly?");
        layout.height += 8.0;
        for suspender in SUSPENDERS {
            let of_it = |place: &&Place| place.suspender == suspender;
            let places: Vec<&Place> = places.iter().filter(of_it).collect();
            if !places.is_empty() {
                layout.suspender(suspender, &places);
            }
        }
        layout.legend();
        layout
    }

    fn text(&mut self, kind: Kind, x: f64, words: &'static str) {
        self.texts.push(Text { kind, x, y: self.height, words, more: "" });
    }

    /// A text in the middle of a row of this height that begins here.
    fn in_row(&mut self, kind: Kind, x: f64, row: f64, words: &'static str) {
        let y = self.height + row / 2.0 + TO_BASE_LINE;
        self.texts.push(Text { kind, x, y, words, more: "" });
    }

    fn suspender(&mut self, suspender: Suspender, places: &[&Place]) {
        self.height += GAP;
        let [who, how] = suspender_words(suspender);
        let (top, bottom) = (self.height, self.height + SUSPENDER_ROW);
        self.boxes.push([MARGIN, top, WIDTH - MARGIN, bottom]);
        self.in_row(Kind::Strong, MARGIN + 8.0, SUSPENDER_ROW, who);
        self.texts.last_mut().expect("it was just added").more = how;
        self.height = bottom;
        for scheduler in SCHEDULERS {
            let of_it = places.iter().filter(|place| place.scheduler == scheduler);
            let of_it: Vec<&Place> = of_it.copied().collect();
            if !of_it.is_empty() {
                self.branch(TRUNK, bottom, SCHEDULER_ROW);
                self.scheduler(scheduler, &of_it);
            }
        }
    }

    fn scheduler(&mut self, scheduler: Scheduler, places: &[&Place]) {
        let words = scheduler_words(scheduler);
        self.in_row(Kind::Soft, TRUNK + TWIG + 5.0, SCHEDULER_ROW, words);
        self.height += SCHEDULER_ROW;
        let top = self.height - 4.0;
        for place in places {
            self.branch(LIMB, top, STYLE_ROW);
            self.style(place);
        }
    }

    /// A line from `top` at `x` down to the middle of a row that begins here, and to its right.
    fn branch(&mut self, x: f64, top: f64, row: f64) {
        let middle = self.height + row / 2.0;
        self.branches += &format!("M{x} {top}V{middle}h{TWIG}");
    }

    fn style(&mut self, place: &Place) {
        let [left, right] = BOX;
        self.boxes.push([left, self.height + 2.0, right, self.height + STYLE_ROW - 2.0]);
        self.in_row(Kind::Style, STYLE_LEFT, STYLE_ROW, place.style);
        let (mark, words, _) = sender_words(place.fast_sender);
        self.mark(mark, STYLE_ROW);
        self.in_row(Kind::Plain, MARK_LEFT + HEIGHT_OF_MARK + 6.0, STYLE_ROW, words);
        self.in_row(Kind::Plain, DROPS_LEFT, STYLE_ROW, queue_words(place.full_queue));
        self.height += STYLE_ROW;
    }

    fn mark(&mut self, mark: Mark, row: f64) {
        let left = if row == LEGEND_ROW { MARGIN } else { MARK_LEFT };
        self.marks.push((mark, left, self.height + (row - HEIGHT_OF_MARK) / 2.0));
    }

    fn legend(&mut self) {
        self.height += GAP;
        let rule = self.height;
        self.branches += &format!("M{MARGIN} {rule}H{}", WIDTH - MARGIN);
        self.height += GAP / 2.0;
        self.in_row(Kind::Soft, MARGIN, LEGEND_ROW, "A client that sends too fast:");
        self.height += LEGEND_ROW;
        for sender in [FastSender::BlockingCall, FastSender::Demand, FastSender::KernelBuffers] {
            let (mark, name, words) = sender_words(sender);
            self.mark(mark, LEGEND_ROW);
            self.in_row(Kind::Plain, MARGIN + HEIGHT_OF_MARK + 6.0, LEGEND_ROW, name);
            self.in_row(Kind::Soft, MEANING_LEFT, LEGEND_ROW, words);
            self.height += LEGEND_ROW;
        }
        for words in [
            "A client that reads too slowly: its queue is bounded, and drops",
            "the newest messages or the oldest.",
            "A style stands where its representative in the gallery does.",
        ] {
            self.in_row(Kind::Soft, MARGIN, LEGEND_ROW, words);
            self.height += LEGEND_ROW - 2.0;
        }
        self.height += MARGIN;
    }
}

#[cfg(test)]
mod tests {
    use super::super::places::PLACES;
    use super::*;

    /// About the width of `words`, in pixels: in DejaVu Sans, the widest of the fonts.
    fn width(kind: Kind, words: &str) -> f64 {
        let letter = match kind {
            Kind::Title => 14.0,
            Kind::Strong | Kind::Style => 9.1,
            Kind::Plain | Kind::Soft => 7.3,
        };
        words.chars().count() as f64 * letter
    }

    fn bounds(text: &Text) -> Rectangle {
        let height = if text.kind == Kind::Title { 22.0 } else { 15.0 };
        let right = text.x + width(text.kind, text.words) + width(Kind::Plain, text.more);
        [text.x, text.y - 0.8 * height, right, text.y + 0.25 * height]
    }

    fn is_within(inner: &Rectangle, outer: &Rectangle) -> bool {
        inner[0] >= outer[0] && inner[1] >= outer[1] && inner[2] <= outer[2] && inner[3] <= outer[3]
    }

    fn overlap(a: &Rectangle, b: &Rectangle) -> bool {
        a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
    }

    #[test]
    fn nothing_covers_anything_else_and_all_is_in_view() {
        let layout = Layout::of(&PLACES);
        let view = [0.0, 0.0, WIDTH, layout.height];
        let texts: Vec<Rectangle> = layout.texts.iter().map(bounds).collect();
        let mark = |&(_, x, y): &(Mark, f64, f64)| [x, y, x + HEIGHT_OF_MARK, y + HEIGHT_OF_MARK];
        let marks: Vec<Rectangle> = layout.marks.iter().map(mark).collect();
        for boxes in [&texts, &marks, &layout.boxes] {
            for (at, one) in boxes.iter().enumerate() {
                assert!(is_within(one, &view), "{one:?}");
                let covered = boxes[at + 1..].iter().find(|other| overlap(one, other));
                assert_eq!(covered, None, "covers {one:?}");
            }
        }
        for (text, bounds) in layout.texts.iter().zip(&texts) {
            assert!(marks.iter().all(|mark| !overlap(mark, bounds)), "{}", text.words);
            let is_clear = |it: &Rectangle| !overlap(it, bounds) || is_within(bounds, it);
            assert!(layout.boxes.iter().all(is_clear), "'{}' leaves its box", text.words);
        }
    }

    #[test]
    fn letters_are_large_enough_on_a_telephone() {
        // A page is some 360 pixels wide there, and letters below 10 are hard to read.
        const { assert!(14.0 * 360.0 / WIDTH >= 10.0) };
    }

    #[test]
    fn a_leaf_hangs_below_what_suspends_and_what_schedules_it() {
        let layout = Layout::of(&PLACES);
        let y = |words: &str| {
            let found = layout.texts.iter().find(|text| text.words == words);
            found.unwrap_or_else(|| panic!("no '{words}'")).y
        };
        assert!(y("Nobody suspends:") < y("readiness loop"));
        assert!(y("readiness loop") < y("The program, by hand:"));
        assert!(y("A runtime or library:") < y("CSP") && y("CSP") < y("The kernel:"));
        assert!(y("The kernel:") < y("monitors"));
        assert_eq!(layout.boxes.len(), PLACES.len() + SUSPENDERS.len());
        // A group without styles is not drawn.
        let one = Layout::of(&PLACES[..1]);
        assert_eq!(one.boxes.len(), 2);
    }
}
