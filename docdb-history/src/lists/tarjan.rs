//! Strongly connected components, without recursion.

/// A graph whose edges are found by number.
pub(super) trait Graph {
    /// Nodes are numbered from 0 to one below this.
    fn nodes(&self) -> u32;

    /// The target of the first edge from a node at or after a cursor, and the cursor behind it.
    /// The cursor begins at 0.
    fn successor(&self, node: u32, cursor: u32) -> Option<(u32, u32)>;
}

/// The components of more than one node, and for each node the number of its component from 1, or
/// 0 if it is alone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Components {
    pub(super) members: Vec<Vec<u32>>,
    pub(super) component_of: Vec<u32>,
}

const UNSEEN: u32 = 0;
const DONE: u32 = u32::MAX;

/// Tarjan's algorithm (1972) with its stack on the heap: linear, 8 bytes for a node and at most 16
/// more for a node on the path.
pub(super) fn components(graph: &impl Graph) -> Components {
    let count = graph.nodes() as usize;
    // The lowest number on the stack that a node reaches; its own number to begin with.
    let mut low = vec![UNSEEN; count];
    let mut component_of = vec![0; count];
    let mut members = Vec::new();
    let mut stack: Vec<u32> = Vec::new();
    let mut path: Vec<(u32, u32, u32)> = Vec::new();
    let mut next = 1;
    for root in 0..count as u32 {
        if low[root as usize] != UNSEEN {
            continue;
        }
        let visit = |node: u32, low: &mut Vec<u32>, stack: &mut Vec<u32>, next: &mut u32| {
            low[node as usize] = *next;
            stack.push(node);
            *next += 1;
            (node, *next - 1, 0)
        };
        path.push(visit(root, &mut low, &mut stack, &mut next));
        while let Some((node, number, cursor)) = path.last_mut() {
            let (node, number) = (*node as usize, *number);
            if let Some((target, behind)) = graph.successor(node as u32, *cursor) {
                *cursor = behind;
                match low[target as usize] {
                    UNSEEN => path.push(visit(target, &mut low, &mut stack, &mut next)),
                    DONE => {}
                    seen => low[node] = low[node].min(seen),
                }
                continue;
            }
            path.pop();
            let reached = low[node];
            if reached == number {
                let start = stack.iter().rposition(|n| *n as usize == node);
                let component = stack.split_off(start.unwrap_or(stack.len()));
                for member in &component {
                    low[*member as usize] = DONE;
                }
                if component.len() > 1 {
                    let id = members.len() as u32 + 1;
                    for member in &component {
                        component_of[*member as usize] = id;
                    }
                    members.push(component);
                }
            } else if let Some((parent, ..)) = path.last() {
                let parent = &mut low[*parent as usize];
                *parent = (*parent).min(reached);
            }
        }
    }
    Components {
        members,
        component_of,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    impl Graph for Vec<Vec<u32>> {
        fn nodes(&self) -> u32 {
            self.len() as u32
        }

        fn successor(&self, node: u32, cursor: u32) -> Option<(u32, u32)> {
            let target = self[node as usize].get(cursor as usize)?;
            Some((*target, cursor + 1))
        }
    }

    /// The same by definition: two nodes are together if each reaches the other.
    fn by_reachability(graph: &[Vec<u32>]) -> Vec<Vec<u32>> {
        let reach = |from: u32| {
            let mut seen = vec![false; graph.len()];
            let mut open = graph[from as usize].clone();
            while let Some(node) = open.pop() {
                if !std::mem::replace(&mut seen[node as usize], true) {
                    open.extend(&graph[node as usize]);
                }
            }
            seen
        };
        let reached: Vec<_> = (0..graph.len() as u32).map(reach).collect();
        let mut all: Vec<Vec<u32>> = (0..graph.len())
            .map(|a| {
                (0..graph.len())
                    .filter(|b| a == *b || (reached[a][*b] && reached[*b][a]))
                    .map(|b| b as u32)
                    .collect()
            })
            .filter(|c: &Vec<u32>| c.len() > 1)
            .collect();
        all.sort();
        all.dedup();
        all
    }

    #[test]
    fn components_are_those_of_the_definition() {
        let mut rng = Rng::new(1, 0);
        for round in 0..2_000 {
            let nodes = 1 + rng.below(12);
            let edges = rng.below(nodes * 3);
            let mut graph = vec![Vec::new(); nodes as usize];
            for _ in 0..edges {
                graph[rng.below(nodes) as usize].push(rng.below(nodes) as u32);
            }
            let found = components(&graph);
            for (i, members) in found.members.iter().enumerate() {
                for member in members {
                    assert_eq!(found.component_of[*member as usize], i as u32 + 1);
                }
            }
            let alone = found.component_of.iter().filter(|c| **c == 0).count();
            let mut members = found.members;
            members.iter_mut().for_each(|m| m.sort_unstable());
            members.sort();
            assert_eq!(
                alone + members.iter().map(Vec::len).sum::<usize>(),
                nodes as usize
            );
            assert_eq!(members, by_reachability(&graph), "round {round}: {graph:?}");
        }
    }

    #[test]
    fn a_long_path_needs_no_deep_stack() {
        let nodes = 1_000_000;
        let ring: Vec<Vec<u32>> = (0..nodes).map(|n| vec![(n + 1) % nodes]).collect();
        assert_eq!(components(&ring).members.len(), 1);
    }
}
