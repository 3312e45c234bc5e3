//! The chart, in SVG: memory and speed, a group of bars for each figure, a bar for each store.
//!
//! ```text
//! +--------------------------------------------+
//! | title                                      |
//! | # store  # store  # store  -- payload      |
//! | memory              | speed                |
//! |  |#                 |  |  #  #             |
//! |  |##   #            |  | ## ## ...         |
//! |  |##+  ##+          |  |##+##+             |
//! +--------------------------------------------+
//! ```
//!
//! Text is left to the viewer's fonts, so that none is needed here; the ground is white whatever page it stands on.

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::output::{count, significant};

use super::{Comparison, Figures, Origin, table, verdict};

const SIZE: (u32, u32) = (920, 460);
const MARGIN: i32 = 24;
const HEAD_HEIGHT: i32 = 92;
/// Where the panel of the speed begins.
const MIDDLE: i32 = 440;
const FONT: &str = "sans-serif";
/// More of a title does not fit.
const TITLE_CHARACTERS: usize = 84;
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const FAINT: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
/// Of the stores, in their order: told apart by hue and by lightness, so that they print too.
const COLOURS: [RGBColor; 3] = [
    RGBColor(0xb3, 0xb9, 0xc0),
    RGBColor(0x56, 0x8f, 0xc9),
    RGBColor(0xc4, 0x3c, 0x1a),
];
/// Units of memory, each with the figure from which it is taken: so that a bar's figure is hardly wider than the bar.
const SIZES: [Unit; 3] = [
    (10_240.0 * 1_024.0, 1_048_576.0, "MiB"),
    (10_240.0, 1_024.0, "KiB"),
    (0.0, 1.0, "bytes"),
];
/// The same of speed.
const RATES: [Unit; 3] = [
    (1e5, 1e6, "million "),
    (1e2, 1e3, "thousand "),
    (0.0, 1.0, ""),
];

/// What a group leaves free on each side, and a bar, in shares of their widths.
const GROUP_GAP: f64 = 0.12;
const BAR_GAP: f64 = 0.06;
/// How far an axis goes beyond the highest bar, so that its figure fits.
const HEADROOM: f64 = 1.12;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<D = ()> = Result<D, DrawingAreaErrorKind<std::io::Error>>;

/// From what figure on, how much of it makes one, and what it is called.
type Unit = (f64, f64, &'static str);

/// Bars side by side for one figure.
struct Group {
    label: String,
    /// Of the stores, in their order.
    values: Vec<f64>,
    /// A line across: what can hardly be gone below.
    floor: Option<f64>,
}

/// The picture.
pub fn render(comparison: &Comparison) -> String {
    let mut svg = String::new();
    draw(
        comparison,
        &SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(),
    )
    .expect("text can always be written to a string");
    svg
}

fn draw(comparison: &Comparison, area: &Area<'_>) -> Drawn {
    area.fill(&WHITE)?;
    let (width, height) = (SIZE.0 as i32, SIZE.1 as i32);
    head(comparison, area)?;
    let payload = comparison.totals.payload_bytes as f64 / comparison.totals.entries as f64;
    let memory = [
        group(
            "with all entries in",
            comparison,
            Some(payload),
            |figures| figures.bytes_per_entry,
        ),
        group(
            "after deleting 90 %",
            comparison,
            Some(payload / 10.0),
            |figures| figures.bytes_per_entry * figures.after_delete_ratio.unwrap_or(0.0),
        ),
    ];
    let mut speed = vec![
        group("load", comparison, None, |figures| figures.load_per_s),
        group("lookup", comparison, None, |figures| figures.lookup_per_s),
    ];
    if let Origin::Synthetic { mix, .. } = comparison.origin {
        let label = format!("mixed, {mix} % lookups");
        speed.push(group(&label, comparison, None, |figures| {
            figures.mixed_per_s.unwrap_or(0.0)
        }));
    }
    let panel = |left, right| {
        area.clone().shrink(
            (left, HEAD_HEIGHT),
            (right - left, height - HEAD_HEIGHT - 12),
        )
    };
    let caption = |unit: &str| format!("Memory, {unit} for each entry loaded");
    bars(&panel(MARGIN, MIDDLE - MARGIN), &SIZES, caption, &memory)?;
    let caption = |unit: &str| format!("Speed, {unit}operations a second");
    bars(&panel(MIDDLE, width - MARGIN), &RATES, caption, &speed)?;
    area.present()
}

fn group(
    label: &str,
    comparison: &Comparison,
    floor: Option<f64>,
    value: fn(&Figures) -> f64,
) -> Group {
    Group {
        label: label.into(),
        values: comparison.stores.iter().map(value).collect(),
        floor,
    }
}

fn text(size: i32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

/// What is compared, and which colour is which store.
fn head(comparison: &Comparison, area: &Area<'_>) -> Drawn {
    let title = shortened(&table::title(&comparison.origin));
    area.draw(&Text::new(title, (MARGIN, 14), text(17)))?;
    let entries = count(comparison.totals.entries, "entry", "entries");
    let each =
        significant(comparison.totals.payload_bytes as f64 / comparison.totals.entries as f64);
    let threads = count(comparison.threads as u64, "thread", "threads");
    let small = if verdict::is_too_small(comparison) {
        "; too small to judge"
    } else {
        ""
    };
    let what = format!("{entries} of {each} bytes each, {threads}{small}");
    area.draw(&Text::new(what, (MARGIN, 38), text(14)))?;
    let (mut left, middle) = (MARGIN, 72);
    for (figures, colour) in comparison.stores.iter().zip(COLOURS) {
        let corners = [(left, middle - 6), (left + 12, middle + 6)];
        area.draw(&Rectangle::new(corners, colour.filled()))?;
        left = legend(area, figures.kind.name(), left + 18, middle)?;
    }
    area.draw(&PathElement::new(
        [(left, middle), (left + 22, middle)],
        INK.stroke_width(2),
    ))?;
    legend(area, "keys and values alone", left + 28, middle)?;
    Ok(())
}

/// Writes the name of a colour. Says where the next one begins.
fn legend(area: &Area<'_>, name: &str, left: i32, middle: i32) -> Drawn<i32> {
    let style = text(14).pos(Pos::new(HPos::Left, VPos::Center));
    area.draw(&Text::new(name.to_string(), (left, middle), style))?;
    // Generous: fonts differ.
    Ok(left + name.chars().count() as i32 * 9 + 20)
}

/// A panel: an axis from zero in a unit that suits it, and groups of bars with their figures above them.
fn bars(
    area: &Area<'_>,
    units: &[Unit],
    caption: impl Fn(&str) -> String,
    groups: &[Group],
) -> Drawn {
    let values = groups
        .iter()
        .flat_map(|group| group.values.iter().copied().chain(group.floor));
    let top = values.fold(f64::MIN_POSITIVE, f64::max);
    let unit = units.iter().find(|unit| top >= unit.0);
    let &(_, one, name) = unit.expect("the last is for all");
    let top = top / one * HEADROOM;
    let mut chart = ChartBuilder::on(area)
        .caption(caption(name), text(15))
        .x_label_area_size(30)
        .y_label_area_size(46)
        .build_cartesian_2d(0.0..groups.len() as f64, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .y_labels(6)
        .y_label_formatter(&|value| round(*value))
        .label_style(text(12))
        .draw()?;
    for (place, group) in groups.iter().enumerate() {
        let left = place as f64 + GROUP_GAP;
        let width = (1.0 - 2.0 * GROUP_GAP) / group.values.len() as f64;
        for (number, (value, colour)) in group.values.iter().zip(COLOURS).enumerate() {
            let value = value / one;
            let (from, to) = (
                left + width * (number as f64 + BAR_GAP),
                left + width * (number as f64 + 1.0 - BAR_GAP),
            );
            chart.draw_series([Rectangle::new([(from, 0.0), (to, value)], colour.filled())])?;
            let style = text(12).pos(Pos::new(HPos::Center, VPos::Bottom));
            chart.draw_series([Text::new(
                significant(value),
                ((from + to) / 2.0, value),
                style,
            )])?;
        }
        if let Some(floor) = group.floor {
            let right = left + width * group.values.len() as f64;
            let across = [(left, floor / one), (right, floor / one)];
            chart.draw_series([PathElement::new(across, INK.stroke_width(2))])?;
        }
        let below = text(13).pos(Pos::new(HPos::Center, VPos::Top));
        let (x, y) = chart.backend_coord(&(place as f64 + 0.5, 0.0));
        let (x0, y0) = area.get_base_pixel();
        area.draw(&Text::new(group.label.clone(), (x - x0, y - y0 + 8), below))?;
    }
    chart.draw_series([PathElement::new(
        [(0.0, 0.0), (groups.len() as f64, 0.0)],
        INK,
    )])?;
    Ok(())
}

/// A figure on an axis, without zeros that say nothing.
fn round(number: f64) -> String {
    let text = significant(number);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
    }
}

/// As much of a title as fits, its end rather than its beginning; what XML cannot hold is replaced.
fn shortened(title: &str) -> String {
    let clean = title.chars().map(|c| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    });
    let characters: Vec<char> = clean.collect();
    match characters.len().checked_sub(TITLE_CHARACTERS) {
        Some(more) if more > 0 => ['…'].iter().chain(&characters[more + 1..]).collect(),
        _ => characters.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        input::Source,
        report::tests::{example, mixed_example},
    };

    /// The texts of a picture, in their order.
    fn texts(svg: &str) -> Vec<&str> {
        let after = svg.split("<text").skip(1);
        after
            .map(|text| text[text.find('>').unwrap() + 1..text.find("</text>").unwrap()].trim())
            .collect()
    }

    #[test]
    fn figures_units_and_names_are_written() {
        let svg = render(&example());
        let texts = texts(&svg);
        for text in [
            "/home/someone (your home directory)",
            "1 234 567 entries of 80.0 bytes each, 2 threads",
            "RwLock&lt;HashMap&gt;",
            "DashMap",
            "CMap",
            "Memory, bytes for each entry loaded",
            "with all entries in",
            "after deleting 90 %",
            "Speed, million operations a second",
            "load",
            "lookup",
            // Both axes begin there.
            "0",
            // CMap's bytes per entry, then, and lookups.
            "100",
            "12.0",
            "9.88",
        ] {
            assert!(texts.contains(&text), "{text:?} is not among {texts:?}");
        }
        assert_eq!(
            texts.iter().filter(|text| **text == "0").count(),
            2,
            "{texts:?}"
        );
        assert!(!svg.contains("mixed"));
        assert!(render(&mixed_example()).contains("mixed, 95 % lookups"));
    }

    #[test]
    fn bars_are_as_high_as_their_figures() {
        let svg = render(&example());
        let heights = |colour: RGBColor| -> Vec<f64> {
            let colour = format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2);
            let attribute = |bar: &str, name: &str| -> f64 {
                let from = bar.find(&format!(" {name}=\"")).unwrap() + name.len() + 3;
                bar[from..].split('"').next().unwrap().parse().unwrap()
            };
            let bars = svg
                .split("<rect")
                .skip(1)
                .map(|bar| bar.split("/>").next().unwrap());
            let bars = bars.filter(|bar| bar.contains(&colour)).skip(1);
            bars.map(|bar| attribute(bar, "height")).collect()
        };
        let (rival, ours) = (heights(COLOURS[0]), heights(COLOURS[2]));
        assert_eq!((rival.len(), ours.len()), (4, 4), "{rival:?} {ours:?}");
        // 200, 190, 2.47, 4.94 against 100, 12, 2.52, 9.88.
        for (number, ratio) in [0.5, 12.0 / 190.0, 50.0 / 49.0, 2.0]
            .into_iter()
            .enumerate()
        {
            let drawn = ours[number] / rival[number];
            assert!(
                (drawn - ratio).abs() < 0.03,
                "{number}: {drawn}, not {ratio}"
            );
        }
    }

    #[test]
    fn units_suit_the_figures() {
        for (bytes, rate, captions, labels) in [
            (
                80.0,
                1e6,
                ["Memory, bytes", "Speed, million"],
                ["80.0", "1.00"],
            ),
            (
                10_240.0,
                99_000.0,
                ["Memory, KiB", "Speed, thousand"],
                ["10.0", "99.0"],
            ),
            (
                5e9,
                42.0,
                ["Memory, MiB", "Speed, operations"],
                ["4 768", "42.0"],
            ),
        ] {
            let mut comparison = example();
            comparison.totals.payload_bytes = 0;
            for figures in &mut comparison.stores {
                figures.bytes_per_entry = bytes;
                (figures.load_per_s, figures.lookup_per_s) = (rate, rate);
            }
            let svg = render(&comparison);
            let texts = texts(&svg);
            for caption in captions {
                assert!(
                    texts.iter().any(|text| text.starts_with(caption)),
                    "{caption}: {texts:?}"
                );
            }
            for label in labels {
                assert!(texts.contains(&label), "{label}: {texts:?}");
            }
        }
    }

    #[test]
    fn any_name_can_be_in_it() {
        let mut comparison = example();
        comparison.origin = Origin::Input {
            source: Source::File(format!("{}<&\"\u{1}\n'>.csv", "long/".repeat(50)).into()),
            skipped: 0,
        };
        let svg = render(&comparison);
        assert!(
            svg.contains("/&lt;&amp;&quot;\u{fffd}\u{fffd}&apos;&gt;.csv"),
            "{svg}"
        );
        assert!(texts(&svg)[0].starts_with('…') && !svg.contains('\u{1}'));
    }

    #[test]
    fn nothing_measured_is_drawn_as_nothing() {
        let mut comparison = example();
        for figures in &mut comparison.stores {
            figures.bytes_per_entry = 0.0;
            figures.after_delete_ratio = None;
        }
        comparison.totals.payload_bytes = 0;
        let svg = render(&comparison);
        assert!(
            svg.contains("too small to judge") && !svg.contains("NaN") && !svg.contains("inf"),
            "{svg}"
        );
    }
}
