//! The table as pictures, one for each group: how many times theirs ours takes.

use crate::Result;
use crate::measure::{Outcome, Verdict};
use crate::row::Target;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::fs;
use std::path::Path;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const WIDTH: i32 = 960;
const LEFT: i32 = 400;
const RIGHT: i32 = 100;
const TOP: i32 = 56;
const LINE: i32 = 22;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(51, 51, 51);
const PALE: RGBColor = RGBColor(221, 221, 221);
const GOOD: RGBColor = RGBColor(46, 125, 90);
const SHORT: RGBColor = RGBColor(200, 98, 42);
const PLAIN: RGBColor = RGBColor(140, 140, 150);

/// Draws `rows-<group>.svg` for every group that has numbers.
pub fn draw(outcomes: &[Outcome], folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut groups: Vec<&str> = outcomes.iter().map(|o| o.group).collect();
    groups.dedup();
    for group in groups {
        let rows: Vec<&Outcome> =
            outcomes.iter().filter(|o| o.group == group && o.numbers.is_some()).collect();
        if !rows.is_empty() {
            picture(group, &rows, &folder.join(format!("rows-{group}.svg")))?;
        }
    }
    Ok(())
}

/// A scale of ratios, by their logarithms.
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn of(rows: &[&Outcome]) -> Scale {
        let mut scale = Scale { least: 0.5, most: 2.0 };
        for row in rows {
            let ratio = row.numbers.iter().flat_map(|n| [n.ratio.least, n.ratio.median, n.ratio.most]);
            let target = match row.target {
                Target::AtMost(x) | Target::AtLeast(x) => Some(x),
                Target::Shown => None,
            };
            for x in ratio.chain(target).filter(|x| *x > 0.0) {
                scale.least = scale.least.min(x);
                scale.most = scale.most.max(x);
            }
        }
        Scale { least: scale.least * 0.9, most: scale.most * 1.1 }
    }

    fn x(&self, ratio: f64) -> i32 {
        let part = (ratio.max(self.least) / self.least).ln() / (self.most / self.least).ln();
        LEFT + (part * f64::from(WIDTH - LEFT - RIGHT)) as i32
    }

    /// 0.01, 0.02, 0.05, 0.1, ...: those on the scale.
    fn ticks(&self) -> impl Iterator<Item = f64> {
        let (least, most) = (self.least, self.most);
        let fine = most / least < 100.0;
        (-5..3)
            .flat_map(|power| [1.0, 2.0, 5.0].map(|digit| (digit, digit * 10f64.powi(power))))
            .filter(move |(digit, x)| (fine || *digit == 1.0) && *x >= least && *x <= most)
            .map(|(_, x)| x)
    }
}

fn picture(group: &str, rows: &[&Outcome], path: &Path) -> Result<()> {
    let height = TOP + rows.len() as i32 * LINE + 20;
    let area = SVGBackend::new(path, (WIDTH as u32, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let scale = Scale::of(rows);
    text(
        &area,
        &format!("{group}: ours / theirs, median and range; | is the target"),
        (12, 18),
        15,
        HPos::Left,
    )?;
    for tick in scale.ticks() {
        let x = scale.x(tick);
        let ink = if tick == 1.0 { INK } else { PALE };
        area.draw(&PathElement::new([(x, TOP - 6), (x, height - 12)], ink))?;
        text(&area, &format!("{tick}"), (x, TOP - 16), 11, HPos::Center)?;
    }
    for (i, row) in rows.iter().enumerate() {
        bar(&area, row, &scale, TOP + i as i32 * LINE + LINE / 2)?;
    }
    Ok(area.present()?)
}

fn bar(area: &Area<'_>, row: &Outcome, scale: &Scale, y: i32) -> Result<()> {
    let Some(numbers) = &row.numbers else { return Ok(()) };
    let colour = match row.verdict {
        Verdict::Ok | Verdict::OkAtLimit => GOOD,
        Verdict::Short => SHORT,
        _ => PLAIN,
    };
    let ratio = numbers.ratio;
    text(area, &format!("{} | {}", row.name, row.beside), (LEFT - 8, y), 11, HPos::Right)?;
    area.draw(&Rectangle::new([(LEFT, y - 6), (scale.x(ratio.median), y + 6)], colour.mix(0.75).filled()))?;
    area.draw(&PathElement::new([(scale.x(ratio.least), y), (scale.x(ratio.most), y)], INK))?;
    if let Target::AtMost(target) | Target::AtLeast(target) = row.target {
        let x = scale.x(target);
        area.draw(&PathElement::new([(x, y - 9), (x, y + 9)], BLACK.stroke_width(2)))?;
    }
    let shown =
        if ratio.median < 0.1 { format!("{:.4}", ratio.median) } else { format!("{:.2}", ratio.median) };
    text(area, &shown, (WIDTH - RIGHT + 12, y), 11, HPos::Left)
}

fn text(area: &Area<'_>, what: &str, at: (i32, i32), size: u32, side: HPos) -> Result<()> {
    let style = (FONT, size).into_text_style(area).color(&INK).pos(Pos::new(side, VPos::Center));
    Ok(area.draw(&Text::new(what.to_owned(), at, style))?)
}
