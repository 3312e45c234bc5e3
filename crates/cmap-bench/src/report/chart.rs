//! The charts, in SVG. Text is left to the viewer's fonts, so that none is needed here.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::{Figures, plain};
use crate::entry::Sizes;
use crate::job::{Job, Kind};
use crate::results::Line;
use crate::store::{StoreName, Variant};

const SIZE: (u32, u32) = (960, 480);
const STORES: [StoreName; 5] = [
    StoreName::Cmap,
    StoreName::Dashmap,
    StoreName::Papaya,
    StoreName::Scc,
    StoreName::Sharded,
];
const COLOURS: [RGBColor; 5] = [
    RGBColor(0xd6, 0x2d, 0x20),
    RGBColor(0x45, 0x75, 0xb4),
    RGBColor(0x74, 0xad, 0xd1),
    RGBColor(0x8c, 0x96, 0xa0),
    RGBColor(0xc0, 0xa8, 0x60),
];
const BARS: [&str; 9] = [
    "fill",
    "hit",
    "hit, pin held",
    "hit, batched",
    "miss",
    "zipf",
    "95/5",
    "50/50",
    "remove",
];

/// Draws what there are figures for; returns file names and titles.
pub fn draw(lines: &[Line], figures: &Figures, folder: &Path) -> Result<Vec<(String, String)>> {
    let mut drawn = Vec::new();
    let mut seen = Vec::new();
    for Line { job, .. } in lines {
        let setting = job.setting();
        if seen.contains(&setting) {
            continue;
        }
        let plain_steady = job.kind == Kind::Steady && job.threads <= 2 && !job.huge && !job.twins;
        let chart = match job.kind {
            Kind::Steady if plain_steady && job.sizes == Sizes::Fixed => {
                times(job, figures, folder)?
            }
            Kind::Growth => overhead(job, figures, folder)?,
            Kind::Pause => pauses(job, figures, folder)?,
            _ => None,
        };
        seen.push(setting);
        drawn.extend(chart);
    }
    Ok(drawn)
}

type Drawn = Result<Option<(String, String)>>;

/// plotters' errors borrow the canvas: only their text leaves.
fn text(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("drawing a chart: {error}")
}

/// Bars: time per operation, a group for each workload.
fn times(job: &Job, figures: &Figures, folder: &Path) -> Drawn {
    let setting = job.setting();
    let value = |workload: &str, store| figures.median(&setting, workload, plain(store));
    let groups: Vec<&str> = BARS
        .into_iter()
        .filter(|workload| value(workload, StoreName::Cmap).is_some())
        .collect();
    let all = groups
        .iter()
        .flat_map(|workload| STORES.iter().filter_map(|&store| value(workload, store)));
    let Some(top) = all.max_by(f64::total_cmp) else {
        return Ok(None);
    };
    let title = format!(
        "Time per operation, ns: {} entries, {} thread(s)",
        super::count(job.entries),
        job.threads
    );
    let name = format!("times-{}-t{}.svg", job.entries, job.threads);
    let path = folder.join(&name);
    let area = SVGBackend::new(&path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(text)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(&title, ("sans-serif", 20))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..groups.len() as f64, 0.0..top * 1.4)
        .map_err(text)?;
    let label = |x: &f64| {
        let at = (x - 0.5).round();
        match (x - 0.5 - at).abs() < 0.01 && at >= 0.0 {
            true => groups.get(at as usize).copied().unwrap_or("").to_owned(),
            false => String::new(),
        }
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(groups.len() * 2 + 1)
        .x_label_formatter(&label)
        .draw()
        .map_err(text)?;
    let width = 0.8 / STORES.len() as f64;
    for (at, (store, colour)) in STORES.into_iter().zip(COLOURS).enumerate() {
        let bars = groups.iter().enumerate().filter_map(|(group, workload)| {
            let left = group as f64 + 0.1 + at as f64 * width;
            let corner = (left + width * 0.9, value(workload, store)?);
            Some(Rectangle::new([(left, 0.0), corner], colour.filled()))
        });
        chart
            .draw_series(bars)
            .map_err(text)?
            .label(store.title())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
    }
    legend(&mut chart)?;
    area.present().map_err(text)?;
    Ok(Some((name, title)))
}

fn legend<'a, X, Y>(chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>) -> Result<()>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
        .map_err(text)
}

/// Lines: overhead by entries.
fn overhead(job: &Job, figures: &Figures, folder: &Path) -> Drawn {
    let setting = job.setting();
    let mut sizes: Vec<u64> = figures
        .workloads(&setting)
        .filter_map(|workload| workload.strip_prefix("overhead at ")?.parse().ok())
        .collect();
    sizes.sort_unstable();
    let line = |store| -> Vec<(f64, f64)> {
        let point = |&n: &u64| {
            let overhead = figures.median(&setting, &format!("overhead at {n}"), plain(store))?;
            Some((n as f64 / 1e6, overhead))
        };
        sizes.iter().filter_map(point).collect()
    };
    let lines: Vec<_> = STORES.map(line).into_iter().collect();
    let top = lines
        .iter()
        .flatten()
        .map(|point| point.1)
        .max_by(f64::total_cmp);
    let (Some(top), Some(&first), Some(&last)) = (top, sizes.first(), sizes.last()) else {
        return Ok(None);
    };
    let title = "Overhead while growing, bytes an entry over millions of entries".to_owned();
    let name = format!("overhead-{}.svg", job.entries);
    let path = folder.join(&name);
    let area = SVGBackend::new(&path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(text)?;
    let from = first as f64 / 1e6;
    let to = (last as f64 / 1e6).max(from * 1.001);
    let mut chart = ChartBuilder::on(&area)
        .caption(&title, ("sans-serif", 20))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(50)
        .build_cartesian_2d((from..to).log_scale(), 0.0..top.max(1.0) * 1.4)
        .map_err(text)?;
    chart.configure_mesh().draw().map_err(text)?;
    for ((store, colour), points) in STORES.into_iter().zip(COLOURS).zip(lines) {
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))
            .map_err(text)?
            .label(store.title())
            .legend(move |(x, y)| Rectangle::new([(x, y - 2), (x + 12, y + 2)], colour.filled()));
    }
    legend(&mut chart)?;
    area.present().map_err(text)?;
    Ok(Some((name, title)))
}

/// Lines: time of an insert by quantile, both logarithmic.
fn pauses(job: &Job, figures: &Figures, folder: &Path) -> Drawn {
    const NINES: [(f64, &str); 5] = [
        (0.3, "p50"),
        (2.0, "p99"),
        (3.0, "p99.9"),
        (4.0, "p99.99"),
        (5.0, "p99.999"),
    ];
    let setting = job.setting();
    let line = |entrant, part: &str| -> Vec<(f64, f64)> {
        let point = |&(nines, quantile): &(f64, &str)| {
            let workload = format!("insert {quantile}{part}");
            let value = figures.median(&setting, &workload, entrant)?;
            Some((nines, value.max(0.01)))
        };
        NINES.iter().filter_map(point).collect()
    };
    let cmap = plain(StoreName::Cmap);
    let mut lines = vec![("noise", BLACK, line(cmap, ", noise"))];
    for (store, colour) in STORES.into_iter().zip(COLOURS) {
        lines.push((store.title(), colour, line(plain(store), "")));
    }
    for (name, colour, variant) in [
        (
            "CMap, pool in advance",
            RGBColor(0xf4, 0x9c, 0x20),
            Variant::Preallocated,
        ),
        (
            "CMap, thread",
            RGBColor(0x8e, 0x44, 0xad),
            Variant::Maintained,
        ),
    ] {
        lines.push((name, colour, line((StoreName::Cmap, variant as u8), "")));
    }
    let values = || lines.iter().flat_map(|line| &line.2).map(|point| point.1);
    let (Some(low), Some(top)) = (
        values().min_by(f64::total_cmp),
        values().max_by(f64::total_cmp),
    ) else {
        return Ok(None);
    };
    let title = format!(
        "Time of an insert by quantile, µs: growing to {} entries",
        super::count(job.entries)
    );
    let name = format!("pauses-{}.svg", job.entries);
    let path = folder.join(&name);
    let area = SVGBackend::new(&path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(text)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(&title, ("sans-serif", 20))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..5.2, (low / 2.0..top * 2.0).log_scale())
        .map_err(text)?;
    let label = |x: &f64| match *x {
        x if (x - x.round()).abs() > 0.01 || x < 0.5 => String::new(),
        x if x < 1.5 => "p90".into(),
        x if x < 2.5 => "p99".into(),
        x => format!("p99.{:9<1$}", "", x.round() as usize - 2),
    };
    chart
        .configure_mesh()
        .x_labels(6)
        .x_label_formatter(&label)
        .draw()
        .map_err(text)?;
    for (name, colour, points) in lines.into_iter().filter(|line| !line.2.is_empty()) {
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))
            .map_err(text)?
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 2), (x + 12, y + 2)], colour.filled()));
    }
    legend(&mut chart)?;
    area.present().map_err(text)?;
    Ok(Some((name, title)))
}
