//! Bad input gets a clear error, nothing starts, and the exit status says of which kind it was.

use std::{
    io::{self, Write},
    net::{Shutdown, TcpListener},
    thread,
};

use super::{Ran, ran, runjob};

#[test]
fn unusable_input_is_named_with_status_2() {
    let cases = [
        ("execute Echo --emulator", "\"Echo\" is not a valid job id"),
        ("execute ../echo --emulator", "\"../echo\" is not a valid"),
        ("execute echo --emulator --update-env-vars==x", "--update-env-vars: element 1 has an empty name"),
        ("execute echo --emulator --env-file=/nowhere/at/all", "--env-file: cannot read /nowhere/at/all"),
        ("execute echo --emulator --tasks=2 --tasks=2", "'--tasks <N>' cannot be used multiple times"),
        ("execute echo --emulator --tasks=0", "an execution has at least 1 task"),
        ("execute echo --emulator --tasks=-1", "expected a whole number"),
        ("execute echo --emulator --tasks=10001", "it must be 1 to 10000"),
        ("execute echo --emulator --task-timeout=0", "from 1s to 168h"),
        ("execute echo --emulator --task-timeout=169h", "from 1s to 168h"),
        ("execute echo --emulator --task-timeout=abc", "expected a duration such as 300"),
        ("execute echo --emulator --wait --async", "cannot be used with"),
        ("execute echo", "no project is known"),
        ("execute echo --project=p --region=r --endpoint=https://h/path", "path"),
        ("execute echo --project=p --region=r --endpoint=https://me:pw@h", "user"),
    ];
    for (line, expected) in cases {
        let ran = ran(line);
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{line}: {ran:#?}");
        assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains(expected), "{line}: {ran:#?}");
    }
}

#[test]
fn a_secret_on_the_command_line_is_not_repeated() {
    for line in ["execute echo --emulator --update-env-vars=A=1,hunter2", "execute echo --endpoint=https://u:hunter2@h"]
    {
        let ran = ran(line);
        assert_eq!(ran.status, 2);
        assert!(!ran.stderr.contains("hunter2"), "{ran:#?}");
    }
}

#[test]
fn an_unknown_job_is_status_7() {
    let ran = ran("execute nothing --emulator --wait");
    assert_eq!((ran.status, ran.stdout.as_str()), (7, ""), "{ran:#?}");
    assert_eq!(
        ran.stderr,
        "error: could not start projects/demo/locations/us-central1/jobs/nothing: NOT_FOUND: \
         Resource 'nothing' of kind 'JOB' in region 'us-central1' in project 'demo' does not exist.\n\
         hint: check the project, the region and the name\n"
    );
}

#[test]
fn a_closed_port_is_no_start_with_status_3() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let ran = at(&address, "execute echo");
    assert_eq!((ran.status, ran.stdout.as_str()), (3, ""), "{ran:#?}");
    assert!(ran.stderr.contains("no connection to the service"), "{ran:#?}");
    assert!(ran.stderr.contains("hint: nothing was started; starting again is safe"), "{ran:#?}");
    assert_eq!(at(&address, "jobs list").status, 8);
}

#[test]
fn a_server_that_is_not_grpc_is_called_that() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Answers as an HTTP/1.1 server answers what it cannot read, and reads on, so that nothing resets the answer.
            _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
            _ = stream.shutdown(Shutdown::Write);
            _ = io::copy(&mut stream, &mut io::sink());
        }
    });
    let ran = at(&address, "jobs list");
    assert_eq!(ran.status, 8, "{ran:#?}");
    assert!(ran.stderr.contains("HTTP/1"), "{ran:#?}");
    assert!(ran.stderr.contains("hint: check that the endpoint is a gRPC server"), "{ran:#?}");
}

#[test]
fn a_token_is_never_sent_in_plaintext_to_another_machine() {
    let ran = ran("jobs list --project=p --region=r --endpoint=http://192.0.2.1:80");
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{ran:#?}");
    assert!(ran.stderr.contains("endpoint http://192.0.2.1:80 is plaintext"), "{ran:#?}");
}

#[test]
fn no_error_shows_the_programs_insides() {
    for line in ["execute nothing --emulator", "execute Echo --emulator", "wait nothing-x7k2p --emulator"] {
        let stderr = ran(line).stderr;
        for inside in ["Some(", "Status {", "kind:", "panicked", "stack backtrace"] {
            assert!(!stderr.contains(inside), "{line}: {stderr}");
        }
    }
}

/// What the program did when told that an emulator is at this address.
fn at(address: &str, line: &str) -> Ran {
    let mut command = runjob(line);
    command.env("RUN_EMULATOR_HOST", address);
    Ran::of(command)
}
