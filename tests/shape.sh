#!/usr/bin/env bash
# `make shape`: reads the Rust sources and prints how they are laid out: imports that go to a higher floor, circles between
# folders, files at the top, the longest function, lines outside tests. Exits 1 if a limit below is exceeded.
# Usage: tests/shape.sh [ROOT], ROOT being another checkout of this repository. Needs a POSIX awk and nothing else.
set -euo pipefail
root=${1:-$(dirname "$0")/..}
cd "$root"

# The floors of sink-connector/src, from the top. A name is a folder or a file beside main.rs. An import stays in its folder
# or goes to a lower line; names on one line do not import each other. The first line is the top of the crate: one folder.
FLOORS='
main cli lib
commands
simulation
run
source control
writer
messages
rejects
batch
positions table
kafka
postgres
config
observe
decode
encode
types
'
TOP_FILES='main.rs cli.rs lib.rs types.rs'
LONGEST_FUNCTION=80

export LC_ALL=C # bytes, not characters
mapfile -t files < <(find ./*/src -name '*.rs' | sort)
awk -v floors="$FLOORS" -v top="$TOP_FILES" \
    -v longest_allowed="$LONGEST_FUNCTION" -f <(cat <<'AWK'
BEGIN {
    SINK = "sink-connector/src/"
    lines = split(floors, line, "\n")
    for (i = 1; i <= lines; i++) {
        names = split(line[i], name, " ")
        if (names == 0) continue
        height++
        for (j = 1; j <= names; j++) {
            floor[name[j]] = height
            if (height == 1) is_root[name[j]] = 1
        }
    }
    for (names = split(top, name, " "); names > 0; names--) allowed[name[names]] = 1
}

FNR == 1 { finish(); start(FILENAME) }
{ tokens_before = n; tokenise($0); code[FNR] = n > tokens_before || in_string; last_line = FNR }
END { finish(); report() }

function start(path) {
    sub(/^\.\//, "", path)
    file = path
    crate = path; sub(/\/.*/, "", crate)
    n = 0; in_string = 0; raw_end = ""; comment = 0
    split("", token); split("", at); split("", code)
}

# Tokens of one line, without comments and the insides of literals. State goes on over lines: strings and comments can.
function tokenise(rest,    hashes) {
    while (rest != "") {
        if (comment) {
            if (!match(rest, /\/\*|\*\//)) return
            comment += substr(rest, RSTART, 2) == "/*" ? 1 : -1
            rest = substr(rest, RSTART + 2)
        } else if (in_string && raw_end != "") {
            if (!(RSTART = index(rest, raw_end))) return
            rest = substr(rest, RSTART + length(raw_end)); in_string = 0
        } else if (in_string) {
            if (!match(rest, /^([^"\\]|\\.)*"/)) return
            rest = substr(rest, RLENGTH + 1); in_string = 0
        } else if (match(rest, /^[ \t\r]+/)) {
            rest = substr(rest, RLENGTH + 1)
        } else if (rest ~ /^\/\//) {
            return
        } else if (rest ~ /^\/\*/) {
            comment = 1; rest = substr(rest, 3)
        } else if (match(rest, /^[bc]?r#*"/)) {
            hashes = substr(rest, 1, RLENGTH); gsub(/[^#]/, "", hashes)
            raw_end = "\"" hashes; in_string = 1; put("\"\""); rest = substr(rest, RLENGTH + 1)
        } else if (match(rest, /^[bc]?"/)) {
            raw_end = ""; in_string = 1; put("\"\""); rest = substr(rest, RLENGTH + 1)
        } else if (match(rest, /^b?'[^'\\]'/) || match(rest, /^b?'\\.[^']*'/) ||
                   match(rest, /^'[^'\\A-Za-z0-9_][^'\\]?[^'\\]?[^'\\]?'/)) {
            put("''"); rest = substr(rest, RLENGTH + 1)
        } else if (match(rest, /^'[A-Za-z_][A-Za-z0-9_]*/)) {
            put("'"); rest = substr(rest, RLENGTH + 1)
        } else if (match(rest, /^(r#)?[A-Za-z_][A-Za-z0-9_]*/) || match(rest, /^[0-9][A-Za-z0-9_]*/) || match(rest, /^::/)) {
            put(substr(rest, 1, RLENGTH)); rest = substr(rest, RLENGTH + 1)
        } else {
            put(substr(rest, 1, 1)); rest = substr(rest, 2)
        }
    }
}
function put(text) { token[++n] = text; at[n] = FNR }
function identifier(text) { return text ~ /^(r#)?[A-Za-z_]/ }

# One file, read whole: its imports, its functions, its tests.
function finish(    i, j, depth, modules, open_module, functions, open_function, module_depth, test_from, k) {
    if (file == "") return
    module_depth = depth_of(file)
    for (i = 1; i <= n; i++) {
        if (token[i] == "{") {
            depth++
            if (pending_module) { open_module[++modules] = depth; pending_module = 0 }
            if (pending_function) { open_function[++functions] = pending_function; function_depth[functions] = depth; pending_function = 0 }
        } else if (token[i] == "}") {
            if (modules && open_module[modules] == depth) modules--
            if (functions && function_depth[functions] == depth) measure(open_function[functions--], i)
            depth--
        } else if (token[i] == "[" || token[i] == "(") brackets++
        else if (token[i] == "]" || token[i] == ")") brackets--
        else if (token[i] == ";" && brackets == 0) { pending_function = 0; pending_module = 0 }
        else if (token[i] == "mod" && identifier(token[i + 1]) && token[i + 2] == "{") pending_module = 1
        else if (token[i] == "fn" && (identifier(token[i + 1]) || token[i + 1] == "$")) { pending_function = i; brackets = 0 }
        else if (token[i] == "macro_rules" && token[i + 1] == "!") macro_home[token[i + 2]] = folder_of(file)
        else if (token[i] == "crate" && token[i + 1] == "::") path(i + 2, 0)
        else if (token[i] == "super" && token[i + 1] == "::" && !(token[i - 1] == "::" && token[i - 2] == "super"))
            path(i, module_depth + modules)
        else if (token[i] == "#" && token[i + 1] == "[" && token[i + 2] == "cfg" && token[i + 3] == "(" && token[i + 4] == "test" &&
                 token[i + 5] == ")" && token[i + 6] == "]") {
            j = item_end(i + 7)
            for (k = at[i]; k <= at[j]; k++) test_line[file, k] = 1
            if (token[i + 7] == "mod" && token[i + 9] == ";") test_module[module_file(file, token[i + 8])] = 1
        }
    }
    file_lines[file] = last_line
    for (i = 1; i <= last_line; i++) if (code[i]) code_line[file, i] = 1
    files[++file_count] = file
    if (index(file, SINK) == 1 && substr(file, length(SINK) + 1) !~ /\//) top_file[++top_files] = substr(file, length(SINK) + 1)
    pending_function = 0; pending_module = 0; brackets = 0
    file = ""
}

# Reads the path that starts at token i, below a module that is `left` modules deep; returns the token after it.
function path(i, left,    nested) {
    if (token[i] == "{") {
        i++
        while (i <= n && token[i] != "}") {
            i = path(i, left)
            for (nested = 0; i <= n && (nested || (token[i] != "," && token[i] != "}")); i++) {
                if (token[i] == "{") nested++
                if (token[i] == "}") nested--
            }
            if (token[i] == ",") i++
        }
        return i + 1
    }
    if (token[i] == "super") return token[i + 1] == "::" ? path(i + 2, left - 1) : i + 1
    if (token[i] == "self" && token[i + 1] == "::") return path(i + 2, left)
    if (left == 0 && (token[i] == "*" || identifier(token[i]))) add_import(at[i], token[i])
    return i + 1
}

function add_import(number, target) {
    if (index(file, SINK) != 1 || ((file, number, target) in seen)) return
    seen[file, number, target] = 1
    import_file[++imports] = file; import_line[imports] = number; import_target[imports] = target
}

function measure(from, to,    length_) {
    length_ = at[to] - at[from] + 1
    if (length_ > longest) { longest = length_; longest_at = file ":" at[from] " " token[from + 1] }
    if (length_ > longest_allowed) long_function[++long_functions] = sprintf("%4d %s:%d %s", length_, file, at[from], token[from + 1])
}

# The last token of the item that starts at token i.
function item_end(i,    nested) {
    for (; i < n; i++) {
        if (token[i] ~ /^[{(\[]$/) nested++
        else if (token[i] ~ /^[})\]]$/) { nested--; if (nested == 0 && token[i] == "}") return token[i + 1] == ";" ? i + 1 : i }
        else if (token[i] == ";" && nested == 0) return i
    }
    return n
}

function inside(path_) { sub(/^[^\/]*\/src\//, "", path_); return path_ }
function depth_of(path_,    part, count) {
    path_ = inside(path_); count = split(path_, part, "/")
    if (part[count] == "mod.rs" || (count == 1 && (path_ == "lib.rs" || path_ == "main.rs"))) count--
    return count
}
function folder_of(path_) {
    path_ = inside(path_); sub(/\/.*/, "", path_); sub(/\.rs$/, "", path_)
    return path_
}
# Where `mod name;` in the file path_ finds its module, without the ending.
function module_file(path_, name_) {
    if (path_ ~ /\/(mod|lib|main)\.rs$/) sub(/[^\/]*$/, "", path_); else sub(/\.rs$/, "/", path_)
    return path_ name_
}
function is_test_file(path_,    module) {
    if (path_ ~ /\/tests(\.rs$|\/)/) return 1
    for (module in test_module) if (path_ == module ".rs" || index(path_, module "/") == 1) return 1
    return 0
}

function report(    i, j, k, from, to, name_, extra, failed, folders, folder, pairs, total, code_total, crate_lines, crate_code) {
    for (i = 1; i <= file_count; i++) if (index(files[i], SINK) == 1) is_folder[folder_of(files[i])] = 1
    for (i = 1; i <= imports; i++) {
        from = folder_of(import_file[i]); to = import_target[i]
        # What is neither a folder nor a file is an item of lib.rs, or a macro, which belongs where it is written.
        if (!(to in is_folder)) to = to in macro_home ? macro_home[to] : "lib"
        if (from in is_root) from = "lib"
        if (to in is_root) to = "lib"
        if (from == to) continue
        edge[from, to] = 1
        if (!(from in floor) || !(to in floor)) {
            if (!(from in floor)) stray[from] = 1
            if (!(to in floor)) stray[to] = 1
            astray++
        } else if (floor[from] >= floor[to])
            up[++ups] = sprintf("%s:%d  %s -> %s (%s)", import_file[i], import_line[i], from, to, floor[from] == floor[to] ? "beside" : "up")
    }
    for (name_ in is_folder) {
        if (!(name_ in floor)) stray[name_] = 1
        if (!(name_ in is_root)) folder[++folders] = name_
    }
    folder[++folders] = "lib"
    sort(folder, folders)

    # Two folders that import each other are a circle; so is a longer way back, where no two of it do.
    for (j = 1; j <= folders; j++) for (i = 1; i <= folders; i++) for (k = 1; k <= folders; k++) {
        if (((folder[i], folder[j]) in edge || (folder[i], folder[j]) in reach) && ((folder[j], folder[k]) in edge || (folder[j], folder[k]) in reach))
            reach[folder[i], folder[k]] = 1
    }
    for (i = 1; i <= folders; i++) for (j = i + 1; j <= folders; j++)
        if ((folder[i], folder[j]) in edge && (folder[j], folder[i]) in edge) {
            circle[++circles] = folder[i] " <-> " folder[j]; tied[folder[i]] = 1; tied[folder[j]] = 1
        }
    for (i = 1; i <= folders; i++) if ((folder[i], folder[i]) in reach && !(folder[i] in done)) {
        name_ = folder[i]; pairs = folder[i] in tied
        for (j = i + 1; j <= folders; j++)
            if ((folder[i], folder[j]) in reach && (folder[j], folder[i]) in reach && folder[j] != folder[i]) {
                name_ = name_ ", " folder[j]; done[folder[j]] = 1; if (folder[j] in tied) pairs = 1
            }
        if (!pairs) circle[++circles] = "among " name_
    }

    failed += show("upward imports", ups, 0); list(up, ups)
    name_ = ""; for (i = 1; i <= folders; i++) if (folder[i] in stray) { strays++; name_ = name_ " " folder[i] }
    failed += show("folders and files without a floor", strays, 0)
    if (strays) printf "   %s (%d imports from or to them)\n", name_, astray
    failed += show("circles between folders", circles, 0); list(circle, circles)
    extra = ""; for (i = 1; i <= top_files; i++) if (!(top_file[i] in allowed)) { extra = extra " " top_file[i]; extras++ }
    failed += show("files at the top", top_files, split(top, name, " "), extras); if (extra != "") print "    not among " top ":" extra
    failed += show("longest function", longest, longest_allowed); if (long_functions) list(long_function, long_functions); else print "    " longest_at

    for (i = 1; i <= file_count; i++) {
        if (files[i] ~ /^tests\// || is_test_file(files[i])) continue
        crate = files[i]; sub(/\/.*/, "", crate)
        for (j = 1; j <= file_lines[files[i]]; j++) if (!((files[i], j) in test_line)) {
            total++; crate_lines[crate]++
            if ((files[i], j) in code_line) { code_total++; crate_code[crate]++ }
        }
    }
    printf "%-36s %6d, %d of them neither blank nor comment\n", "lines of Rust outside tests", total, code_total
    split("", folder); folders = 0; for (name_ in crate_lines) folder[++folders] = name_
    sort(folder, folders)
    for (i = 1; i <= folders; i++) printf "    %-32s %6d, %d\n", folder[i], crate_lines[folder[i]], crate_code[folder[i]]
    exit (failed > 0)
}
function show(what, count, limit, wrong) {
    printf "%-36s %6d, limit %d%s\n", what, count, limit, (count > limit || wrong) ? "  FAILED" : ""
    return (count > limit || wrong)
}
function list(items, count,    i) { for (i = 1; i <= count; i++) print "    " items[i] }
function sort(items, count,    i, j, item) {
    for (i = 2; i <= count; i++) {
        item = items[i]
        for (j = i - 1; j > 0 && items[j] > item; j--) items[j + 1] = items[j]
        items[j + 1] = item
    }
}
AWK
) "${files[@]}"
