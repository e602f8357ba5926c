-- For wrk: sends the requests of a file, over and over, each thread beginning at a place of its own.
-- A line of the file is METHOD, PATH, TOKEN, the type of the body and the file that it is in, with tabs in between; the last two
-- are empty for a request without a body.

function init(args)
  requests = {}
  local bodies = {}
  for line in io.lines(args[1]) do
    local method, path, token, content_type, file = line:match("^(.-)\t(.-)\t(.-)\t(.-)\t(.-)$")
    local headers = { ["Authorization"] = "Bearer " .. token }
    local body
    if file ~= "" then
      if not bodies[file] then
        local handle = assert(io.open(file, "rb"))
        bodies[file] = handle:read("*a")
        handle:close()
      end
      body = bodies[file]
      headers["Content-Type"] = content_type
    end
    requests[#requests + 1] = wrk.format(method, path, headers, body)
  end
  place = number * math.floor(#requests / 2)
end

function request()
  place = place % #requests + 1
  return requests[place]
end
