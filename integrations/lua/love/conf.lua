-- Without a window where nobody looks: --test and --bench.
function love.conf(t)
  t.identity = "tinsmith-well"
  for _, word in ipairs(arg) do
    if word == "--test" or word == "--bench" then
      t.modules.window, t.modules.graphics, t.modules.audio, t.modules.sound = false, false, false, false
      t.modules.joystick, t.modules.touch, t.modules.video, t.modules.font = false, false, false, false
      t.modules.mouse, t.modules.keyboard, t.modules.image = false, false, false
    end
  end
  t.window.title, t.window.width, t.window.height = "The well", 800, 480
end
