//! Builds a dashboard from rows of panels. Positions, ids and the fields that all panels have in common are generated.

use serde_json::{Value, json};

/// Grafana's grid.
const COLUMNS: u64 = 24;
const STAT_HEIGHT: u64 = 4;
const GRAPH_HEIGHT: u64 = 8;

/// A dashboard.
#[derive(Clone, Debug)]
pub struct Dashboard {
    /// Its identity in Grafana: importing a dashboard replaces the one with the same uid.
    pub uid: &'static str,
    /// The name in Grafana's list.
    pub title: &'static str,
    /// The questions that it answers.
    pub description: &'static str,
    /// Variables besides the data source: name, label and query.
    pub variables: Vec<(&'static str, &'static str, &'static str)>,
    /// From the top down.
    pub rows: Vec<Row>,
}

/// Panels under one question.
#[derive(Clone, Debug)]
pub struct Row {
    /// The question.
    pub title: &'static str,
    /// Placed side by side, as many as fit into the width.
    pub panels: Vec<Panel>,
}

/// How a panel shows its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The last value as a large number; red from `red` on, or below it if `below` is set.
    Stat {
        /// The first bad value, if there is one.
        red: Option<i64>,
        /// Whether values below `red` are bad, instead of those from `red` on.
        below: bool,
    },
    /// Lines over time.
    Graph,
    /// A histogram over time.
    Heatmap,
}

/// One panel.
#[derive(Clone, Debug)]
pub struct Panel {
    kind: Kind,
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    width: u64,
    targets: Vec<(&'static str, &'static str)>,
    /// The section of the runbook.
    section: Option<&'static str>,
    /// The first value that is shown in red.
    threshold: Option<f64>,
}

impl Panel {
    fn new(
        kind: Kind,
        width: u64,
        title: &'static str,
        unit: &'static str,
        description: &'static str,
    ) -> Self {
        Self { kind, title, description, unit, width, targets: Vec::new(), section: None, threshold: None }
    }

    /// A number that is bad from `red` on.
    pub fn stat(
        title: &'static str,
        unit: &'static str,
        red: Option<i64>,
        description: &'static str,
    ) -> Self {
        Self::new(Kind::Stat { red, below: false }, 4, title, unit, description)
    }

    /// A number that is bad below `red`.
    pub fn stat_at_least(
        title: &'static str,
        unit: &'static str,
        red: i64,
        description: &'static str,
    ) -> Self {
        Self::new(Kind::Stat { red: Some(red), below: true }, 4, title, unit, description)
    }

    /// Lines over time.
    pub fn graph(title: &'static str, unit: &'static str, description: &'static str) -> Self {
        Self::new(Kind::Graph, 8, title, unit, description)
    }

    /// A histogram over time.
    pub fn heatmap(title: &'static str, unit: &'static str, description: &'static str) -> Self {
        Self::new(Kind::Heatmap, 8, title, unit, description)
    }

    /// Adds a series with its legend.
    #[must_use]
    pub fn shows(mut self, legend: &'static str, expression: &'static str) -> Self {
        self.targets.push((legend, expression));
        self
    }

    /// Links to a section of the runbook.
    #[must_use]
    pub fn runbook(mut self, section: &'static str) -> Self {
        self.section = Some(section);
        self
    }

    /// Marks values from `threshold` on in red.
    #[must_use]
    pub fn red_from(mut self, threshold: f64) -> Self {
        self.threshold = Some(threshold);
        self
    }

    fn height(&self) -> u64 {
        if matches!(self.kind, Kind::Stat { .. }) { STAT_HEIGHT } else { GRAPH_HEIGHT }
    }

    fn to_json(&self, id: u64, x: u64, y: u64) -> Value {
        let heatmap = self.kind == Kind::Heatmap;
        let targets: Vec<Value> = self
            .targets
            .iter()
            .zip('A'..)
            .map(|((legend, expression), name)| {
                json!({
                    "refId": name.to_string(),
                    "datasource": datasource(),
                    "expr": expression,
                    "legendFormat": legend,
                    "format": if heatmap { "heatmap" } else { "time_series" },
                    "instant": false,
                    "range": true,
                })
            })
            .collect();
        let mut links = Vec::new();
        if let Some(section) = self.section {
            let url = format!("{}#{section}", super::RUNBOOK_URL);
            links.push(json!({"title": "Runbook", "url": url, "targetBlank": true}));
        }
        let (kind, options) = match self.kind {
            Kind::Stat { .. } => (
                "stat",
                json!({"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
                    "colorMode": "value", "graphMode": "none", "textMode": "auto"}),
            ),
            Kind::Graph => (
                "timeseries",
                json!({"legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
                    "tooltip": {"mode": "multi", "sort": "desc"}}),
            ),
            Kind::Heatmap => (
                "heatmap",
                json!({"calculate": false, "yAxis": {"unit": self.unit},
                    "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
                    "tooltip": {"show": true, "yHistogram": false}, "legend": {"show": true}}),
            ),
        };
        json!({
            "id": id,
            "type": kind,
            "title": self.title,
            "description": self.description,
            "datasource": datasource(),
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height()},
            "links": links,
            "options": options,
            "fieldConfig": {
                "defaults": {"unit": self.unit, "min": 0, "thresholds": self.thresholds(), "custom": self.custom()},
                "overrides": [],
            },
            "targets": targets,
        })
    }

    fn thresholds(&self) -> Value {
        let (first, then, from) = match (self.kind, self.threshold) {
            (Kind::Stat { red: Some(red), below: true }, _) => ("red", "green", Some(json!(red))),
            (Kind::Stat { red: Some(red), below: false }, _) => ("green", "red", Some(json!(red))),
            (_, Some(threshold)) => ("transparent", "red", Some(json!(threshold))),
            _ => ("green", "red", None),
        };
        let mut steps = vec![json!({"color": first, "value": null})];
        steps.extend(from.map(|from| json!({"color": then, "value": from})));
        json!({"mode": "absolute", "steps": steps})
    }

    fn custom(&self) -> Value {
        if self.kind != Kind::Graph {
            return json!({});
        }
        let style = if self.threshold.is_some() { "dashed" } else { "off" };
        json!({"fillOpacity": 10, "showPoints": "never", "thresholdsStyle": {"mode": style}})
    }
}

fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

impl Dashboard {
    /// The JSON that Grafana imports.
    ///
    /// # Panics
    /// Never: plain data can always be serialised.
    pub fn to_json(&self) -> String {
        let mut panels = Vec::new();
        let (mut id, mut y) = (0, 0);
        for row in &self.rows {
            id += 1;
            panels.push(json!({"id": id, "type": "row", "title": row.title, "collapsed": false,
                "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}, "panels": []}));
            y += 1;
            let (mut x, mut height) = (0, 0);
            for panel in &row.panels {
                // Start a new line when this one is full, or when the next panel has another height.
                if x + panel.width > COLUMNS || (height > 0 && height != panel.height()) {
                    (x, y) = (0, y + height);
                }
                id += 1;
                panels.push(panel.to_json(id, x, y));
                x += panel.width;
                height = panel.height();
            }
            y += height;
        }
        let mut variables = vec![json!({"name": "datasource", "label": "Data source", "type": "datasource",
            "query": "prometheus", "hide": 0, "refresh": 1})];
        variables.extend(self.variables.iter().map(|(name, label, query)| {
            json!({"name": name, "label": label, "type": "query", "datasource": datasource(),
                "query": {"query": query, "refId": name}, "refresh": 2, "sort": 1, "hide": 0,
                // `.*` also matches series without the label, which exist outside Kubernetes.
                "includeAll": true, "multi": true, "allValue": ".*",
                "current": {"text": "All", "value": "$__all"}})
        }));
        let dashboard = json!({
            "id": null,
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["livescores", "kafka", "postgresql"],
            "schemaVersion": 39,
            "version": 1,
            "editable": true,
            "graphTooltip": 1,
            "time": {"from": "now-1h", "to": "now"},
            "refresh": "30s",
            "links": [{"title": "Runbook", "type": "link", "icon": "doc", "url": super::RUNBOOK_URL, "targetBlank": true}],
            "annotations": {"list": []},
            "templating": {"list": variables},
            "panels": panels,
        });
        let mut text = serde_json::to_string_pretty(&dashboard).expect("plain data");
        text.push('\n');
        text
    }
}
