//! Where labels go so that none covers another.

/// Width of a letter on average, and height of a line, in pixels.
const LETTER: f64 = 7.5;
const LINE: f64 = 15.0;

/// Distances from its circle at which a label is tried, in pixels.
const DISTANCES: [f64; 7] = [5.0, 12.0, 22.0, 34.0, 48.0, 64.0, 84.0];
/// Directions in which it is tried, the best first; y grows downwards.
const DIRECTIONS: [(f64, f64); 12] = [
    (1.0, 0.0),
    (-1.0, 0.0),
    (0.0, -1.0),
    (0.0, 1.0),
    (0.8, -0.6),
    (0.8, 0.6),
    (-0.8, -0.6),
    (-0.8, 0.6),
    (0.4, -0.9),
    (0.4, 0.9),
    (-0.4, -0.9),
    (-0.4, 0.9),
];
/// From this distance on a line leads from the circle to its label.
const LEADER_FROM: f64 = 20.0;

/// A circle: its centre and its radius.
pub(super) type Obstacle = (f64, f64, f64);

/// Where a label is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Label {
    /// The left end of its base line.
    pub(super) x: f64,
    pub(super) y: f64,
    /// Where a line from its circle ends; `None` where the label is close enough.
    pub(super) leader: Option<(f64, f64)>,
}

/// Left, top, right, bottom.
type Rectangle = [f64; 4];

/// A place for each of `texts` beside its circle, within `frame` (left, top, right, bottom).
///
/// Labels are placed one by one, each at the first place where it covers nothing; one without such
/// a place is written beside its circle whatever it covers.
pub(super) fn place(circles: &[Obstacle], texts: &[&str], frame: Rectangle) -> Vec<Label> {
    let mut taken: Vec<Rectangle> =
        circles.iter().map(|&(x, y, r)| [x - r, y - r, x + r, y + r]).collect();
    let mut labels = Vec::new();
    for (circle, text) in circles.iter().zip(texts) {
        let width = text.chars().count() as f64 * LETTER;
        let candidates = DISTANCES.iter().flat_map(|&distance| {
            DIRECTIONS.iter().map(move |&way| (distance, around(*circle, way, distance, width)))
        });
        let is_free = |(_, box_): &(f64, Rectangle)| {
            is_within(box_, &frame) && taken.iter().all(|other| !overlap(box_, other))
        };
        let (distance, box_) = candidates
            .into_iter()
            .find(is_free)
            .unwrap_or_else(|| (0.0, around(*circle, DIRECTIONS[0], DISTANCES[0], width)));
        taken.push(box_);
        let nearest = (circle.0.clamp(box_[0], box_[2]), circle.1.clamp(box_[1], box_[3]));
        labels.push(Label {
            x: box_[0],
            y: box_[3] - 4.0,
            leader: (distance >= LEADER_FROM).then_some(nearest),
        });
    }
    labels
}

/// The rectangle of a text that lies from its circle in this direction.
fn around(circle: Obstacle, way: (f64, f64), distance: f64, width: f64) -> Rectangle {
    let (x, y, radius) = circle;
    let reach = radius + distance;
    let (near_x, near_y) = (x + way.0 * reach, y + way.1 * reach);
    let left = near_x - width * (1.0 - way.0) / 2.0;
    let top = near_y - LINE * (1.0 - way.1) / 2.0;
    [left, top, left + width, top + LINE]
}

fn is_within(inner: &Rectangle, outer: &Rectangle) -> bool {
    inner[0] >= outer[0] && inner[1] >= outer[1] && inner[2] <= outer[2] && inner[3] <= outer[3]
}

fn overlap(a: &Rectangle, b: &Rectangle) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Rectangle = [0.0, 0.0, 800.0, 500.0];

    fn boxes(labels: &[Label], texts: &[&str]) -> Vec<Rectangle> {
        let of = |(label, text): (&Label, &&str)| {
            let width = text.chars().count() as f64 * LETTER;
            [label.x, label.y + 4.0 - LINE, label.x + width, label.y + 4.0]
        };
        labels.iter().zip(texts).map(of).collect()
    }

    #[test]
    fn labels_in_a_crowd_cover_neither_each_other_nor_a_circle() {
        let circles: Vec<Obstacle> = (0..20)
            .map(|at| (300.0 + f64::from(at % 5) * 30.0, 200.0 + f64::from(at / 5) * 24.0, 6.0))
            .collect();
        let texts = vec!["stackful coroutines"; circles.len()];
        let found = boxes(&place(&circles, &texts, FRAME), &texts);
        let mut covered = 0;
        for (at, one) in found.iter().enumerate() {
            assert!(is_within(one, &FRAME));
            covered += found[at + 1..].iter().filter(|other| overlap(one, other)).count();
        }
        assert!(covered <= 4, "{covered} of 20 labels in a knot lie on another");
    }

    #[test]
    fn a_label_at_the_edge_stays_within_the_frame_and_a_distant_one_has_a_leader() {
        let label = place(&[(795.0, 250.0, 5.0)], &["actors"], FRAME)[0];
        assert!(label.x + 6.0 * LETTER < 795.0 && label.leader.is_none(), "{label:?}");
        let crowd: Vec<Obstacle> = vec![(400.0, 250.0, 30.0), (400.0, 250.0, 5.0)];
        let labels = place(&crowd, &["threads", "actors"], FRAME);
        assert!(labels[1].leader.is_some(), "{labels:?}");
    }
}
