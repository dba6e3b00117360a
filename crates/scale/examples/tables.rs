//! Prints the tables of `docs/design/0025-scale.md`.
fn main() {
    print!("{}", zillions_scale::tables::all());
}
