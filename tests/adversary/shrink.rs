//! The shortest script that still shows the same failure: parts are taken away as long as it does.

use crate::script::{Body, Framing, Head, Reply, Script, Split, Step, Wait, Whose};

/// The smallest script found for which `fails` holds.
pub(crate) fn shrink(script: Script, fails: impl Fn(&Script) -> bool) -> Script {
    let mut smallest = script;
    while let Some(smaller) =
        candidates(&smallest).into_iter().find(|candidate| *candidate != smallest && fails(candidate))
    {
        smallest = smaller;
    }
    smallest
}

/// Scripts that are smaller by one thing, the largest things first.
fn candidates(script: &Script) -> Vec<Script> {
    let mut found = Vec::new();
    let mut with = |change: &dyn Fn(&mut Script)| {
        let mut smaller = script.clone();
        change(&mut smaller);
        found.push(smaller);
    };
    for (method, replies) in script.answers.iter().enumerate() {
        with(&|s| s.answers[method].clear());
        for nth in 0..replies.len() {
            with(&|s| drop(s.answers[method].remove(nth)));
        }
    }
    with(&|s| s.opens.clear());
    for nth in 0..script.opens.len() {
        with(&|s| drop(s.opens.remove(nth)));
    }
    with(&|s| s.caller.wait = Wait::Never);
    with(&|s| s.caller.earlier = false);
    with(&|s| s.late = false);
    with(&|s| s.rude = false);
    for (nth, steps) in script.opens.iter().enumerate() {
        for fewer in smaller_steps(steps) {
            with(&|s| s.opens[nth].clone_from(&fewer));
        }
    }
    for (method, replies) in script.answers.iter().enumerate() {
        for (nth, reply) in replies.iter().enumerate() {
            for smaller in smaller_replies(reply) {
                with(&|s| s.answers[method][nth] = smaller.clone());
            }
        }
    }
    found
}

fn smaller_replies(reply: &Reply) -> Vec<Reply> {
    let mut found = vec![
        Reply { forever: false, ..reply.clone() },
        Reply { split: Split::None, ..reply.clone() },
        Reply { split: Split::Steps, ..reply.clone() },
        Reply { steps: [&reply.early[..], &reply.steps].concat(), early: Vec::new(), ..reply.clone() },
    ];
    if reply.split == Split::None {
        found.retain(|smaller| smaller.split == Split::None);
    }
    found.extend(smaller_steps(&reply.early).into_iter().map(|early| Reply { early, ..reply.clone() }));
    found.extend(smaller_steps(&reply.steps).into_iter().map(|steps| Reply { steps, ..reply.clone() }));
    found
}

fn smaller_steps(steps: &[Step]) -> Vec<Vec<Step>> {
    let without = |nth: usize| [&steps[..nth], &steps[nth + 1..]].concat();
    let mut found: Vec<_> = (0..steps.len()).map(without).collect();
    for (nth, step) in steps.iter().enumerate() {
        for simpler in simpler_steps(step) {
            let mut steps = steps.to_vec();
            steps[nth] = simpler;
            found.push(steps);
        }
    }
    found
}

fn simpler_steps(step: &Step) -> Vec<Step> {
    match step {
        Step::Head(head) => simpler_heads(head).into_iter().map(Step::Head).collect(),
        Step::Message { body, framing, frames, end } => {
            let with = |body: &Body, framing, frames, end| Step::Message { body: body.clone(), framing, frames, end };
            let mut simpler = vec![
                with(&Body::Empty, *framing, *frames, *end),
                with(body, Framing::True, *frames, *end),
                with(body, *framing, 1, *end),
                with(body, *framing, *frames, false),
            ];
            if *body == Body::Empty {
                simpler.remove(0);
            }
            // Ours that is not there is another job's; then the script should say so.
            if *body == Body::About(Whose::Own) {
                simpler.push(with(&Body::About(Whose::OtherJob), *framing, *frames, *end));
            }
            simpler
        }
        Step::Settings(entries) => {
            let without = |nth: usize| Step::Settings([&entries[..nth], &entries[nth + 1..]].concat());
            (0..entries.len()).map(without).collect()
        }
        _ => Vec::new(),
    }
}

fn simpler_heads(head: &Head) -> Vec<Head> {
    let mut simpler = vec![
        Head { extras: Vec::new(), ..head.clone() },
        Head { continuations: 0, ..head.clone() },
        Head { indexed: false, ..head.clone() },
    ];
    for nth in 0..head.extras.len() {
        let mut extras = head.extras.clone();
        extras.remove(nth);
        simpler.push(Head { extras, ..head.clone() });
    }
    for nth in 0..head.grpc.len() {
        let mut grpc = head.grpc.clone();
        grpc.remove(nth);
        simpler.push(Head { grpc, ..head.clone() });
    }
    simpler.retain(|candidate| candidate != head);
    simpler
}
