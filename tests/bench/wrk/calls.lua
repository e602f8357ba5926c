-- For wrk: whole calls, one at a time on each thread, which has one connection: somebody calls, it is answered, ten signals go
-- back and forth, and it ends. A line of the file is a channel and the tokens and names of its two people, with tabs in between.

function init(args)
  local pairs_of_people = {}
  for line in io.lines(args[1]) do
    local channel, caller, caller_name, callee, callee_name = line:match("^(.-)\t(.-)\t(.-)\t(.-)\t(.-)$")
    pairs_of_people[#pairs_of_people + 1] = {
      channel = channel,
      { token = caller, name = caller_name },
      { token = callee, name = callee_name },
    }
  end
  pair = pairs_of_people[number % #pairs_of_people + 1]
  payload = string.rep("x", 1800)
  step = 0
  call = nil
end

local function post(who, path, body)
  local headers = { ["Authorization"] = "Bearer " .. pair[who].token, ["Content-Type"] = "application/json" }
  return wrk.format("POST", path, headers, body)
end

function request()
  if step == 0 then
    return post(1, "/calls/initiate", '{"channel":"' .. pair.channel .. '"}')
  elseif step == 1 then
    return post(2, "/calls/" .. call .. "/accept", "")
  elseif step <= 11 then
    local from = step % 2 + 1
    return post(from, "/calls/" .. call .. "/signal",
      '{"to":"' .. pair[3 - from].name .. '","type":"ice_candidate","payload":{"candidate":"' .. payload .. '"}}')
  end
  return post(1, "/calls/" .. call .. "/end", "")
end

function response(status, _, body)
  if status ~= 200 then
    io.stderr:write("step ", step, ": ", status, " ", body, "\n")
  end
  if step == 0 then
    call = body:match('"call_id":"([^"]+)"')
  end
  step = (step + 1) % 13
end
