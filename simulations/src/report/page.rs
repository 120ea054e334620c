//! The page around the plots: one file that needs nothing else, light and dark.

use std::fmt::Write;

/// Colours are those of Okabe and Ito, which people with colour-blindness can tell apart; in the dark
/// they are lighter.
const STYLE: &str = "
:root{color-scheme:light dark;--bg:#fff;--fg:#1c2128;--dim:#59636e;--grid:#e7eaee;--axis:#9aa4af;
--card:#f6f8fa;--bad:#b3261e;--good:#0a7a4b;--c1:#0072b2;--c2:#d55e00;--c3:#009e73;--c4:#b5478a;
--c5:#b07900;--c6:#3a8fc4;--band:#0072b2}
@media(prefers-color-scheme:dark){:root{--bg:#0f1419;--fg:#e3e8ee;--dim:#9aa6b2;--grid:#232b34;
--axis:#5c6874;--card:#171e26;--bad:#ff8a80;--good:#4cd6a0;--c1:#56b4e9;--c2:#ff9248;--c3:#2fd0a0;
--c4:#e49ac8;--c5:#e6b93c;--c6:#a5d8f5;--band:#56b4e9}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1008px;padding:24px;background:var(--bg);color:var(--fg);
font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}
h1{font-size:26px;line-height:1.25;margin:0 0 4px}h2{font-size:19px;margin:44px 0 4px}
h3{font-size:15px;margin:26px 0 0}p{margin:2px 0 8px;max-width:76ch}.dim{color:var(--dim)}
.verdict{margin:18px 0;padding:12px 16px;border-left:4px solid var(--good);background:var(--card)}
.verdict.bad{border-color:var(--bad)}.verdict b{color:var(--good)}.verdict.bad b{color:var(--bad)}
.verdict p{margin:4px 0 0;overflow-wrap:anywhere;white-space:pre-wrap}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(140px,1fr));gap:12px 20px;margin:16px 0}
dt{color:var(--dim);font-size:13px}dd{margin:0;font-size:17px;font-variant-numeric:tabular-nums}
code,pre{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace}
pre{background:var(--card);padding:10px 14px;overflow-x:auto;margin:6px 0;border-radius:4px}
figure{margin:0}figcaption{color:var(--dim);font-size:14px;max-width:84ch;margin:1px 0 6px}
.plot{overflow-x:auto}svg{display:block;width:100%;min-width:640px;height:auto}
svg text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif;fill:var(--dim)}
svg .name{font-weight:600;fill:var(--c)}svg .who{font-size:11px}svg text.mark{fill:var(--bad);
font-weight:600}path{fill:none}.grid{stroke:var(--grid)}.axis{stroke:var(--axis)}
path.mark{stroke:var(--bad);stroke-dasharray:4 3}.line{stroke:var(--c);stroke-width:1.6;
stroke-linejoin:round}.band{fill:var(--band)}.fault{fill:var(--c)}
.c1{--c:var(--c1)}.c2{--c:var(--c2)}.c3{--c:var(--c3)}.c4{--c:var(--c4)}.c5{--c:var(--c5)}
.c6{--c:var(--c6)}.b1{fill-opacity:.1}.b2{fill-opacity:.2}.b3{fill-opacity:.32}.b4{fill-opacity:.46}
.b5{fill-opacity:.62}.b0{--c:var(--band)}
.key{display:flex;flex-wrap:wrap;gap:2px 18px;margin:0 0 2px;padding:0;list-style:none;font-size:13px}
.key i{display:inline-block;width:16px;height:3px;margin-right:6px;vertical-align:middle;
background:var(--c);border-radius:1px}.key i.wide{height:10px}.key i.b1{opacity:.1}.key i.b3{opacity:.32}
.key i.b5{opacity:.62}
.table{overflow-x:auto;max-height:560px;overflow-y:auto;margin:8px 0}
table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums;min-width:100%}
th,td{text-align:right;padding:4px 12px 4px 0;border-bottom:1px solid var(--grid);white-space:nowrap}
th{color:var(--dim);font-weight:600;position:sticky;top:0;background:var(--bg)}
th:first-child,td:first-child,.text{text-align:left}tr.bad td{color:var(--bad)}
";

/// Text as text in HTML: nothing of it is markup, control characters are shown as such.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' => escaped.push('\n'),
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// A whole page. `body` is HTML, `title` is text.
pub(super) fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        escape(title)
    )
}

/// A plot with its title, the sentence that says what it shows, and what its colours mean.
pub(super) fn figure(title: &str, sentence: &str, key: &[Key], svg: &str) -> String {
    let mut html = format!(
        "<figure>\n<h3>{}</h3>\n<figcaption>{}</figcaption>\n",
        escape(title),
        escape(sentence)
    );
    if !key.is_empty() {
        html.push_str("<ul class=\"key\">");
        for entry in key {
            let wide = if entry.is_wide { " wide" } else { "" };
            let _ = write!(
                html,
                "<li><i class=\"{}{wide}\"></i>{}</li>",
                entry.colour,
                escape(&entry.name)
            );
        }
        html.push_str("</ul>\n");
    }
    let _ = write!(html, "<div class=\"plot\">{svg}</div>\n</figure>\n");
    html
}

/// What a colour means.
#[derive(Debug)]
pub(super) struct Key {
    /// Classes of the style.
    pub(super) colour: &'static str,
    /// Text.
    pub(super) name: String,
    /// Whether it is the colour of an area.
    pub(super) is_wide: bool,
}

impl Key {
    /// The colour of a line.
    pub(super) fn line(colour: &'static str, name: impl Into<String>) -> Self {
        Self { colour, name: name.into(), is_wide: false }
    }

    /// The colour of an area.
    pub(super) fn area(colour: &'static str, name: impl Into<String>) -> Self {
        Self { colour, name: name.into(), is_wide: true }
    }
}

/// A table; all is text. A row that is `bad` stands out.
#[derive(Debug, Default)]
pub(super) struct Table {
    head: Vec<String>,
    /// Columns of text rather than of numbers.
    text: Vec<usize>,
    rows: Vec<(bool, Vec<String>)>,
}

impl Table {
    /// With these heads; those of columns of text begin with a space.
    pub(super) fn new(head: &[&str]) -> Self {
        let text = head.iter().enumerate().filter(|(_, name)| name.starts_with(' '));
        Self {
            text: text.map(|(index, _)| index).collect(),
            head: head.iter().map(|name| name.trim().to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, is_bad: bool, cells: Vec<String>) {
        self.rows.push((is_bad, cells));
    }

    /// The table as an element of a page.
    pub(super) fn html(&self) -> String {
        let mut html = "<div class=\"table\"><table>\n<thead><tr>".to_owned();
        self.cells(&mut html, "th", &self.head);
        html.push_str("</tr></thead>\n<tbody>\n");
        for (is_bad, cells) in &self.rows {
            html.push_str(if *is_bad { "<tr class=\"bad\">" } else { "<tr>" });
            self.cells(&mut html, "td", cells);
            html.push_str("</tr>\n");
        }
        html.push_str("</tbody>\n</table></div>\n");
        html
    }

    fn cells(&self, html: &mut String, tag: &str, cells: &[String]) {
        for (index, cell) in cells.iter().enumerate() {
            let class = if self.text.contains(&index) { " class=\"text\"" } else { "" };
            let _ = write!(html, "<{tag}{class}>{}</{tag}>", escape(cell));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_markup() {
        assert_eq!(
            escape("<a b=\"c\">&'\u{1b}\n"),
            "&lt;a b=&quot;c&quot;&gt;&amp;&#39;\u{fffd}\n"
        );
        let mut table = Table::new(&["<h>", " text"]);
        table.row(true, vec!["<td>".to_owned(), "a".to_owned()]);
        let html = table.html();
        assert!(html.contains("<th>&lt;h&gt;</th><th class=\"text\">text</th>"), "{html}");
        assert!(html.contains("<tr class=\"bad\"><td>&lt;td&gt;</td><td class=\"text\">a</td>"));
        assert!(figure("<t>", "<s>", &[Key::line("c1", "<k>")], "").matches('<').count() == 14);
    }

    #[test]
    fn the_style_closes_what_it_opens() {
        assert_eq!(STYLE.matches('{').count(), STYLE.matches('}').count());
        assert!(!STYLE.contains('<') && !STYLE.contains("url("));
    }
}
