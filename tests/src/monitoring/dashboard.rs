//! Builds a dashboard from rows of panels. Positions, ids and the fields that all panels have in common are generated.

use serde_json::{Map, Value, json};

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
    /// Marks on all graphs.
    pub annotations: Vec<Annotation>,
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
    /// The labels of the series that are there now, as rows.
    Table,
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
    /// The text in place of values, when there are none.
    empty: &'static str,
}

impl Panel {
    fn new(
        kind: Kind,
        width: u64,
        title: &'static str,
        unit: &'static str,
        description: &'static str,
    ) -> Self {
        Self {
            kind,
            title,
            description,
            unit,
            width,
            targets: Vec::new(),
            section: None,
            threshold: None,
            empty: "no data in this time range",
        }
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

    /// The labels of the series that are there now.
    pub fn table(title: &'static str, width: u64, description: &'static str) -> Self {
        Self::new(Kind::Table, width, title, "short", description)
    }

    /// What the panel says without values.
    #[must_use]
    pub fn empty(mut self, text: &'static str) -> Self {
        self.empty = text;
        self
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
        let table = self.kind == Kind::Table;
        let format = match self.kind {
            Kind::Heatmap => "heatmap",
            Kind::Table => "table",
            Kind::Stat { .. } | Kind::Graph => "time_series",
        };
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
                    "format": format,
                    "instant": table,
                    "range": !table,
                })
            })
            .collect();
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
            Kind::Table => {
                ("table", json!({"showHeader": true, "cellHeight": "sm", "footer": {"show": false}}))
            }
        };
        let mut panel = json!({
            "id": id,
            "type": kind,
            "title": self.title,
            "description": self.description,
            "datasource": datasource(),
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height()},
            "links": [],
            "options": options,
            "fieldConfig": {
                "defaults": {"unit": self.unit, "min": 0, "thresholds": self.thresholds(), "custom": self.custom(),
                    "noValue": self.empty},
                "overrides": [],
            },
            "targets": targets,
        });
        if table {
            let excluded =
                ["Time", "Value", "__name__", "job", "instance", "endpoint", "service", "container"];
            let excluded: Map<String, Value> =
                excluded.iter().map(|name| ((*name).to_owned(), json!(true))).collect();
            panel["transformations"] = json!([{"id": "organize", "options": {"excludeByName": excluded}}]);
            panel["fieldConfig"]["overrides"] = json!([{
                "matcher": {"id": "byName", "options": "partition"},
                "properties": [{"id": "links", "value": [{
                    "title": "This partition alone",
                    "url": "?${__url_time_range}&var-topic=${__data.fields.topic}&var-partition=${__data.fields.partition}",
                }]}],
            }]);
        }
        panel
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

/// Marks on all graphs: where a series begins, or when what its value says.
#[derive(Clone, Copy, Debug)]
pub struct Annotation {
    /// Its name.
    pub name: &'static str,
    /// The series.
    pub expression: &'static str,
    /// The text of a mark.
    pub text: &'static str,
    /// A value is the time of the mark, in milliseconds since 1970.
    pub time_is_value: bool,
}

impl Annotation {
    fn to_json(self) -> Value {
        json!({
            "name": self.name,
            "datasource": datasource(),
            "enable": true,
            "hide": false,
            "iconColor": if self.time_is_value { "blue" } else { "purple" },
            "expr": self.expression,
            "titleFormat": self.name,
            "textFormat": self.text,
            "useValueForTime": self.time_is_value,
        })
    }
}

impl Dashboard {
    /// The section of the runbook for each panel that has one, by the panel's id. The chart makes links of them.
    pub fn sections(&self) -> Value {
        let mut id = 0;
        let mut sections = Map::new();
        for row in &self.rows {
            id += 1;
            for panel in &row.panels {
                id += 1;
                if let Some(section) = panel.section {
                    sections.insert(id.to_string(), json!(section));
                }
            }
        }
        Value::Object(sections)
    }

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
            // `.*` also matches series without the label. Outside Kubernetes there is no namespace; every series of a sink has
            // the other labels, and those without are of other processes.
            let all = if *name == "namespace" { ".*" } else { ".+" };
            json!({"name": name, "label": label, "type": "query", "datasource": datasource(),
                "query": {"query": query, "refId": name}, "refresh": 2, "sort": 1, "hide": 0,
                "includeAll": true, "multi": true, "allValue": all,
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
            "links": [],
            "annotations": {"list": self.annotations.iter().map(|mark| mark.to_json()).collect::<Vec<_>>()},
            "templating": {"list": variables},
            "panels": panels,
        });
        let mut text = serde_json::to_string_pretty(&dashboard).expect("plain data");
        text.push('\n');
        text
    }
}
