//! What a session costs: a node has one for every connection.

use tourbillon_session::{Answer, Call, Input, Output, Outputs, Session};

#[test]
#[cfg(target_pointer_width = "64")]
fn a_session_is_small() {
    assert!(size_of::<Session>() <= 208, "a session takes {} bytes", size_of::<Session>());
}

#[test]
#[cfg(target_pointer_width = "64")]
fn what_goes_in_and_out_of_it_is_small_enough_for_the_stack() {
    assert!(size_of::<Input>() <= 176, "an input takes {} bytes", size_of::<Input>());
    assert!(size_of::<Output>() <= 184, "an output takes {} bytes", size_of::<Output>());
    assert!(size_of::<Outputs>() <= 384, "outputs take {} bytes", size_of::<Outputs>());
    assert!(size_of::<Call>() <= 176, "a call takes {} bytes", size_of::<Call>());
    assert!(size_of::<Answer>() <= 160, "an answer takes {} bytes", size_of::<Answer>());
}
