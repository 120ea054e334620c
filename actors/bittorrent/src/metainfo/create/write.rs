//! Writing metainfo files (BEP 3, 12, 19, 47, 52). Keys are written in sorted order.

use std::collections::BTreeMap;

use super::{Hashes, Plan, Surroundings, Version};
use crate::BLOCK_LEN;
use crate::bencode::Encoder;
use crate::metainfo::files::Attributes;
use crate::metainfo::merkle::{self, Hash};

/// The hash tree of a file, as far as it is written.
struct Tree<'h> {
    root: Hash,
    /// The roots of its pieces, if they are several.
    layer: &'h [Hash],
}

pub(super) fn metainfo(plan: &Plan, hashes: &Hashes, around: &Surroundings) -> Vec<u8> {
    let trees = if plan.version().has_v2() { trees(plan, &hashes.v2) } else { Vec::new() };
    let mut encoder = Encoder::new();
    encoder.dict();
    write_trackers(&mut encoder, &around.trackers);
    if let Some(comment) = &around.comment {
        encoder.bytes("comment").bytes(comment);
    }
    if let Some(created_by) = &around.created_by {
        encoder.bytes("created by").bytes(created_by);
    }
    if let Some(date) = around.creation_date {
        encoder.bytes("creation date").int(date);
    }
    encoder.bytes("info");
    write_info(&mut encoder, plan, hashes, &trees);
    if plan.version().has_v2() {
        write_layers(&mut encoder, &trees);
    }
    match around.web_seeds.as_slice() {
        [] => {}
        [only] => {
            encoder.bytes("url-list").bytes(only);
        }
        several => {
            encoder.bytes("url-list").list();
            several.iter().for_each(|url| {
                encoder.bytes(url);
            });
            encoder.end();
        }
    }
    encoder.end();
    encoder.finish()
}

/// `announce` for everyone, `announce-list` where it says more (BEP 12).
fn write_trackers(encoder: &mut Encoder, tiers: &[Vec<String>]) {
    let mut all = tiers.iter().flatten();
    let Some(first) = all.next() else { return };
    encoder.bytes("announce").bytes(first);
    if all.next().is_none() {
        return;
    }
    encoder.bytes("announce-list").list();
    for tier in tiers.iter().filter(|tier| !tier.is_empty()) {
        encoder.list();
        tier.iter().for_each(|url| {
            encoder.bytes(url);
        });
        encoder.end();
    }
    encoder.end();
}

fn write_info(encoder: &mut Encoder, plan: &Plan, hashes: &Hashes, trees: &[Option<Tree<'_>>]) {
    let version = plan.version();
    let single = plan.files().first().filter(|_| version.has_v1() && plan.is_single());
    encoder.dict();
    if let Some(file) = single {
        write_attributes(encoder, file.attributes());
    }
    if version.has_v2() {
        write_tree(encoder, plan, trees);
    }
    if let Some(file) = single {
        encoder.bytes("length").int(file.length);
    } else if version.has_v1() {
        write_list(encoder, plan);
    }
    if version.has_v2() {
        encoder.bytes("meta version").int(2);
    }
    encoder.bytes("name").bytes(&plan.name);
    encoder.bytes("piece length").int(plan.piece_length());
    if version.has_v1() {
        encoder.bytes("pieces").bytes(hashes.v1.as_flattened());
    }
    if plan.options.private {
        encoder.bytes("private").int(1);
    }
    encoder.end();
}

fn write_attributes(encoder: &mut Encoder, attributes: Attributes) {
    let letters = [(attributes.pad, 'p'), (attributes.hidden, 'h'), (attributes.executable, 'x')];
    let text: String = letters.iter().filter(|(is, _)| *is).map(|(_, letter)| letter).collect();
    if !text.is_empty() {
        encoder.bytes("attr").bytes(text);
    }
}

/// The files of v1, with the pads of a hybrid.
fn write_list(encoder: &mut Encoder, plan: &Plan) {
    encoder.bytes("files").list();
    for (index, file) in plan.files().iter().enumerate() {
        write_listed(encoder, file.attributes(), file.length, &file.path);
        let pad = plan.pad_behind(index);
        if pad > 0 && plan.version() == Version::Hybrid {
            let attributes = Attributes { pad: true, ..Attributes::default() };
            write_listed(encoder, attributes, pad, &[".pad".to_owned(), pad.to_string()]);
        }
    }
    encoder.end();
}

fn write_listed(encoder: &mut Encoder, attributes: Attributes, length: u64, path: &[String]) {
    encoder.dict();
    write_attributes(encoder, attributes);
    encoder.bytes("length").int(length).bytes("path").list();
    path.iter().for_each(|part| {
        encoder.bytes(part);
    });
    encoder.end().end();
}

/// The files of v2. As they are in order, each directory is begun and ended once.
fn write_tree(encoder: &mut Encoder, plan: &Plan, trees: &[Option<Tree<'_>>]) {
    encoder.bytes("file tree").dict();
    let alone = [plan.name.clone()];
    let mut open: &[String] = &[];
    for (file, tree) in plan.files().iter().zip(trees) {
        let path = if plan.is_single() { alone.as_slice() } else { file.path.as_slice() };
        let Some((name, directory)) = path.split_last() else { continue };
        let common = open.iter().zip(directory).take_while(|(a, b)| a == b).count();
        for _ in common..open.len() {
            encoder.end();
        }
        for part in directory.iter().skip(common) {
            encoder.bytes(part).dict();
        }
        open = directory;
        encoder.bytes(name).dict().bytes("").dict();
        write_attributes(encoder, file.attributes());
        encoder.bytes("length").int(file.length);
        if let Some(tree) = tree {
            encoder.bytes("pieces root").bytes(tree.root);
        }
        encoder.end().end();
    }
    for _ in open {
        encoder.end();
    }
    encoder.end();
}

/// The layers of files of several pieces, each once: equal files have one tree.
fn write_layers(encoder: &mut Encoder, trees: &[Option<Tree<'_>>]) {
    let several = trees.iter().flatten().filter(|tree| tree.layer.len() > 1);
    let layers: BTreeMap<&Hash, &[Hash]> = several.map(|tree| (&tree.root, tree.layer)).collect();
    encoder.bytes("piece layers").dict();
    for (root, layer) in layers {
        encoder.bytes(root).bytes(layer.as_flattened());
    }
    encoder.end();
}

/// The tree of each file; an empty file has none.
fn trees<'h>(plan: &Plan, roots: &'h [Hash]) -> Vec<Option<Tree<'h>>> {
    let level = (plan.piece_length() / BLOCK_LEN).trailing_zeros();
    let tree = |file: usize| match roots.get(plan.pieces_of(file)).unwrap_or_default() {
        [] => None,
        [only] => Some(Tree { root: *only, layer: &[] }),
        layer => Some(Tree { root: merkle::layer_root(layer, level), layer }),
    };
    (0..plan.files().len()).map(tree).collect()
}
